"""Detections as COCO's results: of every box format, without padding, and perfect ones of real labels."""

import keras
import numpy as np
import pytest

from keras_mambaout.detection import coco_metrics, detections_to_results
from keras_mambaout.detection.box_formats import BOX_FORMATS


def predictions_of(boxes, classes):
    classes = np.asarray(classes, "float32")
    confidence = np.where(classes < 0, -1, 0.5)
    return {"boxes": np.asarray(boxes, "float32"), "confidence": confidence, "classes": classes}


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_results_of_every_format(name):
    """The box left 20, top 30, right 60, bottom 90 of an image resized by 2 in x and 3 in y."""
    boxes = keras.utils.bounding_boxes.convert_format(
        np.array([[[20.0, 30, 60, 90], [0, 0, 1, 1]]]), source="xyxy", target=name, height=300, width=200
    )
    predictions = predictions_of(keras.ops.convert_to_numpy(boxes), [[1, -1]])
    results = detections_to_results(predictions, [5], [[3, 2]], [4, 17], name, image_size=(300, 200))
    assert len(results) == 1 and results[0]["image_id"] == 5 and results[0]["category_id"] == 17
    assert results[0]["score"] == 0.5
    np.testing.assert_allclose(results[0]["bbox"], [10, 10, 20, 20], atol=1e-4)


def test_padding_is_left_out():
    predictions = predictions_of(np.tile([0.0, 0, 10, 10], (2, 3, 1)), [[0, 0, -1], [0, 0, 0]])
    predictions["boxes"][1, 2] = np.nan
    counts = [item["image_id"] for item in detections_to_results(predictions, [1, 2], np.ones((2, 2)), [8], "xyxy")]
    assert counts == [1, 1, 2, 2]
    predictions["num_detections"] = np.array([1, 0])
    assert len(detections_to_results(predictions, [1, 2], np.ones((2, 2)), [8], "xyxy")) == 1
    predictions["labels"] = predictions.pop("classes")
    assert len(detections_to_results(predictions, [1, 2], np.ones((2, 2)), [8], "xyxy")) == 1


@pytest.mark.parametrize(
    ("predictions", "name", "message"),
    [
        (np.zeros((1, 2, 4)), "xyxy", "got ndarray"),
        ({"boxes": np.zeros((1, 2, 4)), "scores": 0}, "xyxy", "got a dict with 'boxes', 'scores'"),
        (predictions_of(np.zeros((1, 2, 5)), np.zeros((1, 2))), "xyxy", r"got shapes \(1, 2, 5\)"),
        (predictions_of(np.zeros((2, 2, 4)), np.zeros((2, 2))), "xyxy", "for 1 images"),
        (predictions_of(np.zeros((1, 2, 4)), np.zeros((1, 3))), "xyxy", r"\(1, 3\)"),
        (predictions_of(np.zeros((1, 2, 4)), np.full((1, 2), 3)), "xyxy", "the class 3, the data set has 1 classes"),
        (predictions_of(np.zeros((1, 2, 4)), np.zeros((1, 2))), "corners", "got 'corners'"),
        (predictions_of(np.zeros((1, 2, 4)), np.zeros((1, 2))), "rel_xyxy", "'rel_xyxy' need `image_size`"),
    ],
)
def test_bad_predictions(predictions, name, message):
    with pytest.raises(ValueError, match=message):
        detections_to_results(predictions, [1], np.ones((1, 2)), [8], name)


def inside(box, height, width):
    """Clips a box; COCO has some that end a fraction of a pixel outside of the image."""
    x, y, w, h = box
    return [x, y, min(w, width - x), min(h, height - y)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("xyxy", {"image_size": 160}),
        ("rel_yxyx", {"image_size": (100, 170)}),
        ("center_xywh", {"shortest_edge": 90, "longest_edge": 150}),
    ],
)
def test_perfect_detections_on_real_labels(coco128, name, options):
    """Labels of batches, mapped back, are the annotations to 1e-3 pixels and score 1."""
    results = []
    for images, labels in coco128.batches(16, **options, bounding_box_format=name).as_numpy_iterator():
        predictions = predictions_of(labels["boxes"], labels["classes"])
        ids, scales, size = labels["image_id"], labels["scale"], images.shape[1:3]
        results += detections_to_results(predictions, ids, scales, coco128.category_ids, name, size)
    annotations = coco128.ground_truth["annotations"]
    results.sort(key=lambda item: coco128.image_ids.index(item["image_id"]))  # which keeps the order in an image
    expected = {image_id: [] for image_id in coco128.image_ids}
    for item in annotations:
        if not item["iscrowd"]:
            expected[item["image_id"]].append(item)
    expected = [item for items in expected.values() for item in items]
    assert [item["category_id"] for item in results] == [item["category_id"] for item in expected]
    boxes = np.array([item["bbox"] for item in results])
    expected = np.array([inside(item["bbox"], *coco128.image_size(item["image_id"])) for item in expected])
    np.testing.assert_allclose(boxes, expected, rtol=0, atol=1e-3)

    metrics = coco_metrics(coco128.ground_truth, results)
    assert {key: round(value, 9) for key, value in metrics.items()} == dict.fromkeys(metrics, 1.0)
    crowds = [
        {"image_id": item["image_id"], "category_id": item["category_id"], "bbox": item["bbox"], "score": 0.99}
        for item in annotations
        if item["iscrowd"]
    ]
    assert len(crowds) == 10
    assert coco_metrics(coco128.ground_truth, results + crowds)["AP"] == pytest.approx(1)
    assert coco_metrics(coco128.ground_truth, [{**item, "category_id": 1} for item in results])["AP"] < 0.1
