"""Average precision of masks: by hand, and of a head that is perfect on real labels."""

import keras
import numpy as np
import pytest
import white
from white import FindsWhite

from keras_mambaout.detection import (
    CocoDataset,
    CocoMeanAveragePrecision,
    coco_metrics,
    detections_to_results,
    evaluate_detector,
)

LABELS = {
    "images": [{"id": 0, "width": 60, "height": 60}],
    "annotations": [
        {
            "id": 0,
            "image_id": 0,
            "category_id": 8,
            "bbox": [10, 10, 40, 40],
            "segmentation": [[10, 10, 50, 10, 50, 50, 10, 50]],
        }
    ],
    "categories": [{"id": 8, "name": "eight"}],
}


def predictions_of(mask):
    """The box of the label at double size, and a second row that is padding."""
    return {
        "boxes": np.array([[[20.0, 20, 100, 100], [-1] * 4]]),
        "confidence": np.array([[1.0, -1]]),
        "classes": np.array([[0.0, -1]]),
        "masks": np.stack([mask, np.zeros_like(mask)])[None],
    }


def results_of(predictions):
    return detections_to_results(predictions, [0], [[2.0, 2.0]], [8], "xyxy", original_sizes=[(60, 60)])


def test_part_of_an_object():
    """A mask of the upper 29 of 40 rows has an IoU of 0.725, which passes 0.50, 0.55, ..., 0.70: five of ten."""
    mask = np.zeros((40, 40))
    mask[:29] = 1
    results = results_of(predictions_of(mask))
    assert len(results) == 1 and results[0]["segmentation"]["size"] == [60, 60]
    np.testing.assert_allclose(results[0]["bbox"], [10, 10, 40, 40])
    assert coco_metrics(LABELS, results)["AP"] == pytest.approx(1)
    assert coco_metrics(LABELS, results, "segm")["AP"] == pytest.approx(5 / 10)


def test_entries_without_masks():
    results = results_of(predictions_of(np.ones((28, 28))))
    bare = [{key: value for key, value in results[0].items() if key != "segmentation"}]
    with pytest.raises(ValueError, match="'segm' needs 'segmentation'; 1 of 1 results have none"):
        coco_metrics(LABELS, bare, "segm")
    annotation = {key: value for key, value in LABELS["annotations"][0].items() if key != "segmentation"}
    with pytest.raises(ValueError, match="1 of 1 ground truth have none"):
        coco_metrics({**LABELS, "annotations": [annotation]}, results, "segm")


@pytest.mark.parametrize("masks", [None, np.ones((1, 2, 60, 80)), np.ones((1, 3, 28, 28)), np.ones((2, 28, 28))])
def test_bad_masks(masks):
    predictions = predictions_of(np.ones((28, 28)))
    if masks is None:
        del predictions["masks"]
    else:
        predictions["masks"] = masks
    message = "This model finds boxes only" if masks is None else r"'masks' \(B, N, M, M\)"
    with pytest.raises(ValueError, match=message):
        results_of(predictions)


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset.from_json(*white.write(tmp_path))


@pytest.mark.parametrize("takes_sizes", [False, True])
def test_boxes_and_masks_at_once(dataset, takes_sizes):
    """Masks of the upper three quarters have an IoU of 0.75 to within a row: they pass five thresholds or six."""
    model = FindsWhite(filled=0.75, takes_sizes=takes_sizes)
    metrics = evaluate_detector(model, dataset, image_size=64, iou_type=("bbox", "segm"))
    assert list(metrics) == ["bbox", "segm"] and metrics["bbox"]["AP"] == pytest.approx(1)
    assert metrics["segm"]["AP50"] == pytest.approx(1) and 0.5 <= metrics["segm"]["AP"] <= 0.6
    np.testing.assert_equal(evaluate_detector(model, dataset, image_size=64, iou_type="segm"), metrics["segm"])
    assert evaluate_detector(FindsWhite(), dataset, image_size=64, iou_type="segm")["AP"] == pytest.approx(1)


class Records:
    """A detector that finds nothing, and keeps what it was given."""

    bounding_box_format = "xyxy"

    def __init__(self):
        self.given = []

    def predict_on_batch(self, inputs):
        self.given.append(inputs)
        count = len(inputs["images"]) if isinstance(inputs, dict) else len(inputs)
        return {
            "boxes": np.full((count, 2, 4), -1.0),
            "confidence": np.full((count, 2), -1.0),
            "classes": np.full((count, 2), -1),
        }


def test_sizes_go_to_models_that_take_them(dataset):
    model = Records()
    evaluate_detector(model, dataset, batch_size=3, shortest_edge=60)
    model.takes_sizes = True
    evaluate_detector(model, dataset, batch_size=3, shortest_edge=60)
    assert [images.shape for images in model.given[:2]] == [(3, 64, 96, 3), (1, 64, 96, 3)]
    assert [inputs["images"].shape for inputs in model.given[2:]] == [(3, 64, 96, 3), (1, 64, 96, 3)]
    assert np.concatenate([inputs["sizes"] for inputs in model.given[2:]]).tolist() == [[60, 80]] * 4


def test_what_cannot_be_evaluated_ends_before_the_predictions(dataset):
    model = Records()
    del dataset.ground_truth["annotations"][0]["segmentation"]
    with pytest.raises(ValueError, match="1 of 4 ground truth have none"):
        evaluate_detector(model, dataset, image_size=64, iou_type=("bbox", "segm"))
    for iou_type in ("boxes", (), ("bbox", "boxes"), None):
        with pytest.raises(ValueError, match="`iou_type` must be one of 'bbox', 'segm', or a tuple of them"):
            evaluate_detector(model, dataset, image_size=64, iou_type=iou_type)
    assert not model.given


class Learner(keras.Sequential):
    """Trains one weight; its detections are the same all along."""

    bounding_box_format = "xyxy"

    def predict_on_batch(self, images):
        return FindsWhite(filled=0.75).predict_on_batch(images)


def test_callback(dataset):
    model = Learner([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    precision = CocoMeanAveragePrecision(dataset, image_size=64, iou_type=("bbox", "segm"))
    x = np.ones((4, 3), "float32")
    history = model.fit(x, x[:, :1], verbose=0, callbacks=[precision]).history
    assert history["val_bbox_AP"] == pytest.approx([1]) and 0.5 <= history["val_segm_AP"][0] <= 0.6
    assert "val_AP" not in history and {"val_bbox_APs", "val_segm_AP75"} <= set(history)


def test_perfect_head_on_real_labels(coco128):
    """What masks of 28 x 28 can reach at best: labels of 112 x 112, averaged to 28 x 28, pasted and compared."""
    results = []
    batches = coco128.batches(16, image_size=64, masks=True, mask_size=112)
    for _, labels in batches.as_numpy_iterator():
        masks = labels["masks"].reshape(*labels["masks"].shape[:2], 28, 4, 28, 4).mean((3, 5))
        predictions = {
            "boxes": labels["boxes"],
            "confidence": labels["classes"] * 0 + 0.5,
            "classes": labels["classes"],
        }
        ids, scales = labels["image_id"].tolist(), labels["scale"]
        sizes = [coco128.image_size(image_id) for image_id in ids]
        predictions["masks"] = masks
        results += detections_to_results(predictions, ids, scales, coco128.category_ids, "xyxy", None, sizes)
    assert len(results) == 929
    assert coco_metrics(coco128.ground_truth, results)["AP"] > 0.999
    metrics = coco_metrics(coco128.ground_truth, results, "segm")
    assert metrics["AP50"] == pytest.approx(1) and metrics["AP75"] == pytest.approx(1)
    assert metrics["AP"] > 0.98 and metrics["APs"] > 0.97, metrics
