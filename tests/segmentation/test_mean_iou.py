"""Intersection over union against numbers by hand and against scikit-learn."""

import numpy as np
import pytest

from keras_mambaout.segmentation import confusion_matrix, format_segmentation_metrics, segmentation_metrics

pytestmark = pytest.mark.no_backend

BY_HAND = np.array([[50, 5, 5, 0], [10, 20, 0, 0], [0, 0, 0, 10], [0, 0, 0, 0]])  # nothing is labelled 3


def test_confusion_matrix():
    labels = np.array([[0, 1, 2, 255], [2, 2, 0, 255]])
    predictions = np.array([[0, 2, 2, 0], [1, 2, 0, 7]])  # where nothing counts, any number
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 3), [[2, 0, 0], [0, 0, 1], [0, 1, 2]])


def test_metrics_by_hand():
    metrics = segmentation_metrics(BY_HAND, ["wall", "sky", "tree", "sea"])
    iou = [50 / 70, 20 / 35, 0.0, 0.0]
    assert [row["IoU"] for row in metrics["classes"]] == pytest.approx(iou)
    assert metrics["mIoU"] == pytest.approx(np.mean(iou))
    accuracy = [50 / 60, 20 / 30, 0.0]
    assert [row["accuracy"] for row in metrics["classes"][:3]] == pytest.approx(accuracy)
    assert np.isnan(metrics["classes"][3]["accuracy"])  # nothing to find, left out of the mean
    assert metrics["mean_accuracy"] == pytest.approx(np.mean(accuracy))
    assert metrics["pixel_accuracy"] == pytest.approx(70 / 100)
    assert [row["pixels"] for row in metrics["classes"]] == [60, 30, 10, 0]


def test_classes_that_are_nowhere_do_not_count():
    confusion = np.zeros((5, 5), int)
    confusion[:2, :2] = [[8, 2], [0, 10]]
    metrics = segmentation_metrics(confusion)
    assert metrics["mIoU"] == pytest.approx((8 / 10 + 10 / 12) / 2)
    assert np.isnan(metrics["classes"][4]["IoU"]) and metrics["classes"][4]["name"] == "4"


def test_equals_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.RandomState(0)
    labels, predictions = random.randint(0, 6, (2, 30, 40))
    predictions = np.where(random.uniform(size=labels.shape) < 0.6, labels, predictions)
    ignored = random.uniform(size=labels.shape) < 0.2
    counted = (labels[~ignored], predictions[~ignored])
    metrics = segmentation_metrics(confusion_matrix(np.where(ignored, 255, labels), predictions, 6))
    iou = sklearn.jaccard_score(*counted, average=None)
    np.testing.assert_allclose([row["IoU"] for row in metrics["classes"]], iou)
    assert metrics["mIoU"] == pytest.approx(iou.mean())
    assert metrics["mean_accuracy"] == pytest.approx(sklearn.balanced_accuracy_score(*counted))
    assert metrics["pixel_accuracy"] == pytest.approx(sklearn.accuracy_score(*counted))


def test_table():
    text = format_segmentation_metrics(segmentation_metrics(BY_HAND, ["wall", "sky", "tree", "sea"]))
    lines = text.splitlines()
    assert lines[0].split() == ["mIoU", "32.14%"] and lines[2].split() == ["pixel_accuracy", "70.00%"]
    assert lines[5].split() == ["wall", "71.43%", "83.33%", "60.00%"]
    assert lines[8].split() == ["sea", "0.00%", "-", "0.00%"] and len(lines) == 9
    confusion = np.zeros((5, 5), int)
    confusion[2:4, 2:4] = [[8, 2], [0, 10]]
    lines = format_segmentation_metrics(segmentation_metrics(confusion)).splitlines()
    assert [line.split()[0] for line in lines[5:7]] == ["2", "3"]
    assert lines[7:] == ["(3 classes are neither labelled nor predicted)"]
    assert len(format_segmentation_metrics(segmentation_metrics(BY_HAND), classes=False).splitlines()) == 3


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"the same shape, got \(2, 3\) and \(2, 4\)"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((2, 4), int), 2)
    with pytest.raises(ValueError, match=r"Labels must be classes from 0 to 1 .* from 0 to 2"):
        confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match=r"Predictions must be classes from 0 to 1 .* from -1 to 0"):
        confusion_matrix([0, 1], [0, -1], 2)
    with pytest.raises(ValueError, match="with 0 pixels"):
        segmentation_metrics(np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="4 names, one for each row"):
        segmentation_metrics(BY_HAND, ["wall"])
