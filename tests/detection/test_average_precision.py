"""Average precision: values worked out by hand, and perfect detections on real labels."""

import copy
import sys

import keras
import numpy as np
import pytest

from keras_mambaout.detection import coco_metrics, detections_to_results, format_coco_metrics
from keras_mambaout.detection.boxes import BOX_FORMATS

EDGE = 40  # of the boxes: medium, their area is between 32^2 and 96^2


def labels_of(*boxes, size=(400, 400)):
    """One image a box, all of one category."""
    height, width = size
    images = [{"id": i, "width": width, "height": height} for i in range(len(boxes))]
    annotations = [{"id": i, "image_id": i, "category_id": 8, "bbox": list(box)} for i, box in enumerate(boxes)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 8, "name": "eight"}]}


def result(image_id, box, score=0.9, category_id=8):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score}


BOXES = [(10, 10, EDGE, EDGE), (200, 50, EDGE, EDGE)]


def test_shifted_boxes():
    """Moved by 2.4 of 10, the intersection is 7.6 and the union 12.4: an IoU of 0.613 passes 0.50, 0.55 and 0.60."""
    shifted = [result(i, (x + 0.24 * EDGE, y, w, h)) for i, (x, y, w, h) in enumerate(BOXES)]
    metrics = coco_metrics(labels_of(*BOXES), shifted)
    assert metrics["AP"] == pytest.approx(3 / 10)
    assert metrics["AP50"] == pytest.approx(1) and metrics["AP75"] == 0
    assert metrics["APm"] == pytest.approx(3 / 10)
    assert np.isnan(metrics["APs"]) and np.isnan(metrics["APl"])
    assert list(metrics) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert all(type(value) is float for value in metrics.values())


def test_one_of_two_found():
    """Recall is 0.5: of the 101 recall points 0, 0.01, ..., 1 those up to 0.50 have precision 1."""
    assert coco_metrics(labels_of(*BOXES), [result(0, BOXES[0])])["AP"] == pytest.approx(51 / 101)


def test_a_false_one_of_higher_score():
    """Precision is 0, then 1 of 2: one half at every recall. After the right one it does not count."""
    wrong, right = result(0, (300, 300, EDGE, EDGE), 0.9), result(0, BOXES[0], 0.8)
    assert coco_metrics(labels_of(BOXES[0]), [wrong, right])["AP"] == pytest.approx(1 / 2)
    assert coco_metrics(labels_of(BOXES[0]), [{**wrong, "score": 0.7}, right])["AP"] == pytest.approx(1)


def test_mean_over_classes():
    labels = labels_of(*BOXES)
    labels["categories"].append({"id": 9, "name": "nine"})
    labels["categories"].append({"id": 10, "name": "no objects of it"})
    labels["annotations"][1]["category_id"] = 9
    results = [result(0, BOXES[0]), result(1, BOXES[1], category_id=8)]
    assert coco_metrics(labels, results)["AP"] == pytest.approx((1 + 0) / 2)


def test_sizes():
    """32^2 is the upper bound of small, 96^2 of medium."""
    boxes = [(0, 0, 20, 20), (0, 0, 50, 50), (0, 0, 200, 200)]
    metrics = coco_metrics(labels_of(*boxes), [result(0, boxes[0]), result(2, boxes[2])])
    assert (metrics["APs"], metrics["APm"], metrics["APl"]) == pytest.approx((1, 0, 1))


def test_crowds_count_neither_for_nor_against():
    labels = labels_of(*BOXES)
    labels["annotations"][1].update(iscrowd=1, ignore=1)
    inside = result(1, (205, 55, 10, 10), 0.99)
    assert coco_metrics(labels, [result(0, BOXES[0]), inside, result(1, BOXES[1], 0.95)])["AP"] == pytest.approx(1)
    outside = result(1, (0, 0, 10, 10), 0.99)
    assert coco_metrics(labels, [result(0, BOXES[0]), outside])["AP"] == pytest.approx(1 / 2)


def test_max_detections():
    results = [result(0, (300, 300, EDGE, EDGE), 0.9), result(0, BOXES[0], 0.8)]
    assert coco_metrics(labels_of(BOXES[0]), results, max_detections=1)["AP"] == 0
    assert coco_metrics(labels_of(BOXES[0]), results, max_detections=2)["AP"] == pytest.approx(1 / 2)


def test_no_results_and_other_images(capsys):
    labels = labels_of(*BOXES)
    assert coco_metrics(labels, [])["AP"] == 0 and np.isnan(coco_metrics(labels, [])["APl"])
    results = [result(0, BOXES[0]), result(1, BOXES[1])]
    before = copy.deepcopy((labels, results))
    assert coco_metrics(labels, [*results, result(77, BOXES[0], 0.99)])["AP"] == pytest.approx(1)
    labels["images"] = labels["images"][:1]
    assert coco_metrics(labels, results)["AP"] == pytest.approx(1), "the second image is not asked for"
    labels["images"] = before[0]["images"]
    assert (labels, results) == before, "what is given stays as it was"
    assert capsys.readouterr().out == ""


def test_bad_arguments():
    with pytest.raises(ValueError, match="`iou_type` must be one of 'bbox', 'segm', got 'keypoints'"):
        coco_metrics(labels_of(BOXES[0]), [], "keypoints")
    with pytest.raises(ValueError, match="`max_detections`"):
        coco_metrics(labels_of(BOXES[0]), [], max_detections=0)


def test_missing_pycocotools(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ImportError, match=r'pip install "keras-mambaout\[detection\]"'):
        coco_metrics(labels_of(BOXES[0]), [])


def test_format_metrics():
    table = format_coco_metrics({"AP": 0.4123, "AP50": 1.0, "APs": float("nan")})
    assert table.splitlines() == [
        "|    AP |  AP50 |   APs |",
        "| ----: | ----: | ----: |",
        "| 0.412 | 1.000 |     - |",
    ]


# === Detections to results ===


def predictions_of(boxes, classes, scores=None):
    classes = np.asarray(classes, "float32")
    scores = np.where(classes < 0, -1, 0.5) if scores is None else scores
    return {"boxes": np.asarray(boxes, "float32"), "confidence": scores, "classes": classes}


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


# === Real labels ===


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
        result(item["image_id"], item["bbox"], 0.99, item["category_id"]) for item in annotations if item["iscrowd"]
    ]
    assert len(crowds) == 10
    assert coco_metrics(coco128.ground_truth, results + crowds)["AP"] == pytest.approx(1)
    assert coco_metrics(coco128.ground_truth, [{**item, "category_id": 1} for item in results])["AP"] < 0.1
