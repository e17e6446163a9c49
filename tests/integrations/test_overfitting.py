"""A detector learns four or eight photos by heart: everything must be right for that, from the pixels to COCO's AP."""

import collections

import keras
import numpy as np
import pytest
from detectors import CASES

from keras_mambaout.detection import CocoDataset, evaluate_detector, mask_rcnn

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.fixture(scope="module")
def coco(data_dir):
    folder = data_dir / "instances" / "coco128_train2017"
    return CocoDataset.from_json(folder / "instances_train2017.json", folder / "images")


@pytest.fixture(scope="module")
def eight(coco):
    """Photos with one to four objects and no crowd."""
    annotations = coco.ground_truth["annotations"]
    objects = collections.Counter(annotation["image_id"] for annotation in annotations)
    crowded = {annotation["image_id"] for annotation in annotations if annotation["iscrowd"]}
    chosen = [i for i, image in enumerate(coco.image_ids) if 1 <= objects[image] <= 4 and image not in crowded]
    return coco.subset(chosen[:8])


def overfit(case, detector, dataset, image_size, steps, learning_rate=5e-4):
    """Returns the losses of the first and the last five steps and COCO's metrics on the images it was trained with."""
    case.compile(detector, learning_rate)
    batches = dataset.batches(
        len(dataset),
        training=True,
        image_size=image_size,
        flip=0.0,
        max_boxes=20,
        bounding_box_format=case.bounding_box_format,
        seed=0,
    )
    losses = detector.fit(batches.cache().repeat(), steps_per_epoch=5, epochs=steps // 5, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    return losses[0], losses[-1], evaluate_detector(detector, dataset, image_size=image_size, verbose=0)


@pytest.mark.exhaustive  # `test_detectors.py` shows in less time that losses fall
def test_small(eight):
    keras.utils.set_random_seed(0)
    case = CASES["keras_cv_retinanet"]  # KerasHub's learns as fast
    four = eight.subset(range(4))
    first, last, metrics = overfit(case, case.detector(), four, image_size=96, steps=25)
    assert last < 0.1 * first
    assert metrics["AP50"] >= 0.5, metrics


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras_cv_retinanet", "keras_hub_retinanet"])
def test_femto(eight, name):
    """What it reaches is in benchmarks/README.md."""
    keras.utils.set_random_seed(0)
    case = CASES[name]
    detector = case.build("mambaout_femto", 80, case.bounding_box_format, weights=None)
    first, last, metrics = overfit(case, detector, eight, image_size=192, steps=60)
    print(f"{name} over mambaout_femto, {keras.config.backend()}: loss {first:.3f} -> {last:.4f}, {metrics}")
    assert metrics["AP50"] >= 0.5, metrics


@pytest.mark.slow
def test_mask_rcnn(eight):
    """Boxes and masks. What it reaches is in benchmarks/README.md."""
    keras.utils.set_random_seed(0)
    model = mask_rcnn("mambaout_test", 80, weights=None, channels=64, proposals=100, box_samples=64)
    model.compile(keras.optimizers.AdamW(1e-3, global_clipnorm=10.0))
    batches = eight.batches(
        8, training=True, image_size=160, flip=0.0, max_boxes=20, masks=True, mask_size=56, sizes=True
    )
    losses = model.fit(batches.cache().repeat(), steps_per_epoch=25, epochs=5, verbose=0).history["loss"]
    metrics = evaluate_detector(model, eight, image_size=160, verbose=0, iou_type=("bbox", "segm"))
    print(f"Mask R-CNN over mambaout_test, {keras.config.backend()}: loss {losses}, {metrics}")
    assert metrics["bbox"]["AP50"] >= 0.6 and metrics["segm"]["AP50"] >= 0.5, metrics


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_epochs_of_all_photos(coco, name):
    keras.utils.set_random_seed(0)
    case = CASES[name]
    detector = case.compile(case.detector())
    losses = detector.fit(
        coco.batches(8, training=True, image_size=256, bounding_box_format=case.bounding_box_format),
        epochs=2,
        verbose=0,
    ).history["loss"]
    print(f"{name} over mambaout_test, {keras.config.backend()}: loss {losses}")
    assert np.isfinite(losses).all() and losses[1] < losses[0]
    detections = detector.predict(
        coco.batches(8, image_size=256, bounding_box_format=case.bounding_box_format), verbose=0
    )
    assert len(detections["boxes"]) == 128 and np.isfinite(detections["boxes"]).all()
