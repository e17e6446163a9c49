"""Non-maximum suppression against the loop that defines it, and against torchvision's."""

import detection_cases as cases
import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.non_max_suppression import MultiClassNonMaxSuppression, non_max_suppression


def iou(a, b):
    overlap = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod()
    return overlap / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap)


def greedy(boxes, scores, iou_threshold, confidence_threshold, max_detections):
    """One image: `[(score, row, class)]`, best first, as the algorithm is written down."""
    pairs = [(s, n, c) for (n, c), s in np.ndenumerate(scores) if s > confidence_threshold]
    kept = []
    for score, row, class_ in sorted(pairs, key=lambda pair: -pair[0]):
        if all(class_ != c or iou(boxes[row], boxes[n]) <= iou_threshold for _, n, c in kept):
            kept.append((score, row, class_))
    return kept[:max_detections]


def crowd(batch=2, rows=150, classes=3):
    random = np.random.RandomState(0)
    corner, size = random.uniform(0, 60, (batch, rows, 2)), random.uniform(5, 40, (batch, rows, 2))
    return np.concatenate([corner, corner + size], -1).astype("float32"), random.uniform(size=(batch, rows, classes))


def decode(layer, boxes, scores):
    return {key: ops.convert_to_numpy(value) for key, value in layer(boxes, scores).items()}


@pytest.mark.parametrize(("iou_threshold", "confidence", "rows"), [(0.5, 0.05, 100), (0.3, 0.6, 500), (1.0, 0.0, 20)])
def test_greedy_algorithm(iou_threshold, confidence, rows):
    boxes, scores = crowd()
    layer = MultiClassNonMaxSuppression("xyxy", False, iou_threshold, confidence, max_detections=rows)
    detections = decode(layer, boxes, scores.astype("float32"))
    assert detections["boxes"].shape == (2, rows, 4)
    for image in range(2):
        expected = greedy(boxes[image], scores[image], iou_threshold, confidence, rows)
        number = detections["num_detections"][image]
        assert number == len(expected) > 10
        np.testing.assert_allclose(detections["confidence"][image, :number], [s for s, _, _ in expected], rtol=1e-6)
        assert detections["classes"][image, :number].tolist() == [c for _, _, c in expected]
        np.testing.assert_array_equal(detections["boxes"][image, :number], [boxes[image, n] for _, n, _ in expected])
        for key in ("boxes", "confidence", "classes"):
            assert (detections[key][image, number:] == -1).all()


def test_logits_formats_and_names():
    boxes, scores = crowd(rows=40)
    expected = decode(MultiClassNonMaxSuppression("xyxy", False, max_detections=10), boxes, scores)
    logits = np.log(scores / (1 - scores))
    corner, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    other = MultiClassNonMaxSuppression("rel_xywh", True, max_detections=10, class_name="labels")
    got = decode(other, np.concatenate([corner, size], -1) / 100, logits)
    np.testing.assert_allclose(got["confidence"], expected["confidence"], rtol=1e-4)
    np.testing.assert_array_equal(got["labels"], expected["classes"])
    both = got["boxes"] * 100
    np.testing.assert_allclose(
        np.concatenate([both[..., :2], both[..., :2] + both[..., 2:]], -1), expected["boxes"], atol=1e-3
    )


def test_nothing_found_and_fewer_rows_than_detections():
    detections = decode(MultiClassNonMaxSuppression("xyxy", False), np.ones((1, 3, 4)), np.zeros((1, 3, 2)))
    assert detections["num_detections"].tolist() == [0] and (detections["boxes"] == -1).all()
    assert detections["boxes"].shape == (1, 100, 4)


def test_numbers_that_are_not_finite_are_no_detections():
    scores = np.array([[[0.9], [np.nan], [0.8]]], "float32")
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 9], [20, 0, 30, 9]]], "float32")
    detections = decode(MultiClassNonMaxSuppression("xyxy", False), boxes, scores)
    assert detections["num_detections"].tolist() == [2]
    np.testing.assert_allclose(detections["confidence"][0, :2], [0.9, 0.8], rtol=1e-6)


def test_config_and_bad_arguments():
    layer = MultiClassNonMaxSuppression("rel_yxyx", True, 0.4, 0.2, 30, 200, "labels")
    assert MultiClassNonMaxSuppression.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="bounding_box_format"):
        MultiClassNonMaxSuppression("corners", True)
    with pytest.raises(ValueError, match="`iou_threshold` must be a number from 0 to 1, got 50"):
        MultiClassNonMaxSuppression("xyxy", True, iou_threshold=50)


@pytest.mark.parametrize("iou_threshold", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_keeps_what_torchvision_keeps(iou_threshold):
    """A fifth of a hundred sets of 1 to 119 boxes of 1 to 20 classes, padded with rows that have no score."""
    sets = {
        number: one
        for number in range(cases.NMS_SETS)
        if (one := cases.nms_set(number))["iou_threshold"] == iou_threshold
    }
    expected, rows = cases.torchvision_results(), 120

    def batched(key):
        padded = [
            np.pad(one[key], [(0, rows - len(one[key]))] + [(0, 0)] * (one[key].ndim - 1)) for one in sets.values()
        ]
        return ops.convert_to_tensor(np.stack(padded))

    keep = ops.convert_to_numpy(non_max_suppression(*map(batched, ("boxes", "scores", "classes")), iou_threshold))
    for number, kept in zip(sets, keep, strict=True):
        wanted = np.unpackbits(expected[f"nms/{number}"], count=len(sets[number]["boxes"])).astype(bool)
        np.testing.assert_array_equal(kept[: len(wanted)], wanted, err_msg=f"set {number}")
        assert not kept[len(wanted) :].any()
    assert len(sets) == 20 and keep.sum() < 0.95 * sum(len(one["boxes"]) for one in sets.values())


def test_without_classes_all_boxes_are_of_one():
    one = cases.nms_set(3)  # of twenty classes
    boxes, scores = (ops.convert_to_tensor(one[key][None]) for key in ("boxes", "scores"))
    alike, of_classes = ops.zeros(scores.shape, "int32"), ops.convert_to_tensor(one["classes"][None])
    keep, expected, by_class = (
        ops.convert_to_numpy(non_max_suppression(boxes, scores, classes, 0.5)) for classes in (None, alike, of_classes)
    )
    np.testing.assert_array_equal(keep, expected)
    assert keep.sum() < by_class.sum()
