"""Average precision: values worked out by hand."""

import copy
import sys

import numpy as np
import pytest

from keras_mambaout.detection import coco_metrics, format_coco_metrics

pytestmark = pytest.mark.no_backend

EDGE = 40  # of the boxes: medium, their area is between 32^2 and 96^2


def labels_of(*boxes, size=(400, 400)):
    """One image per box, all of one category."""
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
