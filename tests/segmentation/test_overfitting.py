"""UperNet on four real scenes: a few steps on every backend, and by `make test-slow` by heart."""

import time

import keras
import pytest

from keras_mambaout.segmentation import (
    SegmentationAugmentation,
    SegmentationDataset,
    evaluate_segmenter,
    format_segmentation_metrics,
    upernet,
)
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.training import AdamW

STEPS, SIZE = 450, 224
FIRST_LOSS = 5.016673  # of these weights and crops; PyTorch computed it
PLAIN = SegmentationAugmentation(scale_range=(1.0, 1.0), cat_max_ratio=1.0, flip=0.0, photometric_distortion=False)


@pytest.fixture(scope="module")
def data(data_dir):
    """All 150 classes, 29 of them present."""
    folder, (names, _) = data_dir / "scenes" / "ade20k", ade20k_classes()
    return SegmentationDataset.from_folder(
        folder / "images", folder / "annotations", names, range(1, 151), ignore_ids=[0]
    )


def batches(data, size):
    return data.batches(4, crop_size=size, shortest_edge=size, training=True, augmentation=PLAIN, seed=0).repeat()


def create(channels):
    keras.utils.set_random_seed(0)
    return upernet("mambaout_test", 150, weights=None, channels=channels, auxiliary_channels=32, dropout_rate=0.0)


@pytest.mark.first_on("tensorflow", "torch")
def test_first_loss_is_that_of_every_backend_and_falls(data):
    model = create(channels=32)
    model.compile(AdamW(6e-3, weight_decay=0.0))
    steps = batches(data, 64).take(6).as_numpy_iterator()
    losses = []
    for batch in steps:
        losses.append(float(model.train_on_batch(*batch, return_dict=True)["class_loss"]))
        model.reset_metrics()
    assert losses[0] == pytest.approx(FIRST_LOSS, rel=1e-3)
    assert losses[-1] < 0.9 * losses[0], losses


@pytest.mark.slow
def test_by_heart(data):
    """What it reaches is in benchmarks/README.md."""
    model = create(channels=64)
    model.compile(AdamW(keras.optimizers.schedules.CosineDecay(6e-3, STEPS), weight_decay=0.0))
    start = time.monotonic()
    losses = model.fit(batches(data, SIZE), steps_per_epoch=STEPS // 5, epochs=5, verbose=0).history["loss"]
    metrics = evaluate_segmenter(model, data, crop_size=SIZE, stride=SIZE // 2, shortest_edge=SIZE, verbose=0)
    metrics["classes"] = [row for row in metrics["classes"] if row["pixels"]]
    minutes = (time.monotonic() - start) / 60
    print(f"{keras.config.backend()}, {minutes:.1f} minutes, losses {losses}\n{format_segmentation_metrics(metrics)}")
    assert metrics["mIoU"] >= 0.8
