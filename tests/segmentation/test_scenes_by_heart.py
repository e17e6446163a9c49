"""UperNet learns the four real scenes by heart: by `make test-slow`; what it reaches is in benchmarks/README.md."""

import time

import keras
import pytest

from keras_mambaout.data import SceneAugmentation, SceneDataset
from keras_mambaout.data.ade20k import ade20k_classes
from keras_mambaout.evaluation import evaluate_segmenter, format_scene_metrics
from keras_mambaout.segmentation import upernet
from keras_mambaout.training import AdamW

STEPS, SIZE = 300, 224
PLAIN = SceneAugmentation(scale_range=(1.0, 1.0), max_share=1.0, flip=0.0, photometric=False)


@pytest.mark.slow
def test_four_scenes_of_ade20k(data_dir):
    """All 150 classes, 29 of them present."""
    folder, (names, _) = data_dir / "scenes" / "ade20k", ade20k_classes()
    data = SceneDataset.from_folder(folder / "images", folder / "annotations", names, range(1, 151), ignored=[0])
    keras.utils.set_random_seed(0)
    model = upernet("mambaout_test", 150, weights=None, channels=64, auxiliary_channels=32, dropout_rate=0.0)
    rate = keras.optimizers.schedules.CosineDecay(6e-3, STEPS)
    model.compile(AdamW(rate, weight_decay=0.0))
    batches = data.batches(4, crop_size=SIZE, short_side=SIZE, training=True, augmentation=PLAIN, seed=0)
    start = time.monotonic()
    losses = model.fit(batches.repeat(), steps_per_epoch=STEPS // 5, epochs=5, verbose=0).history["loss"]
    metrics = evaluate_segmenter(model, data, crop_size=SIZE, stride=SIZE // 2, short_side=SIZE, verbose=0)
    metrics["classes"] = [row for row in metrics["classes"] if row["pixels"]]
    minutes = (time.monotonic() - start) / 60
    print(f"{keras.config.backend()}, {minutes:.1f} minutes, losses {losses}\n{format_scene_metrics(metrics)}")
    assert metrics["mIoU"] >= 0.8
