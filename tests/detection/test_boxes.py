"""Boxes in every format: clipping, rows that are not objects, and the way back from padded images."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.box_formats import BOX_FORMATS, check_box_format, to_corners
from keras_mambaout.detection.boxes import clean_labels, clip_boxes, pairwise_iou, restore_detections

SIZE, MODEL_SIZE = (50, 80), (64, 96)
XYXY = np.array([[[10, 20, 30, 45], [-5, 10, 20, 70], [60, 40, 90, 60]]], "float32")  # inside, and over the edges
CLIPPED = np.array([[[10, 20, 30, 45], [0, 10, 20, 50], [60, 40, 80, 50]]], "float32")


def to_format(boxes, name, size=SIZE):
    """Converts from xyxy, as the formats are defined."""
    left, top, right, bottom = np.moveaxis(np.asarray(boxes, "float64"), -1, 0)
    width, height = right - left, bottom - top
    values = {
        "xyxy": (left, top, right, bottom),
        "yxyx": (top, left, bottom, right),
        "xywh": (left, top, width, height),
        "center_xywh": (left + width / 2, top + height / 2, width, height),
        "center_yxhw": (top + height / 2, left + width / 2, height, width),
    }[name.removeprefix("rel_")]
    if name.startswith("rel_"):
        sides = {"x": size[1], "w": size[1], "y": size[0], "h": size[0]}
        values = [value / sides[axis] for value, axis in zip(values, name.removeprefix("rel_"), strict=True)]
    return np.stack(values, -1).astype("float32")


def arrays(*tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_clip_boxes(name):
    boxes, has_area = arrays(*clip_boxes(to_format(XYXY, name), name, SIZE))
    np.testing.assert_allclose(boxes, CLIPPED, atol=1e-4)
    assert has_area.all()
    outside = np.array([[[-20, 0, -1, 9], [81, 0, 99, 9], [5, 5, 5, 9], [0, 0, np.nan, 9]]], "float32")
    assert not arrays(*clip_boxes(to_format(outside, name), name, SIZE))[1].any()
    assert not arrays(*clip_boxes(np.full((1, 2, 4), -1.0, "float32"), name, SIZE))[1].any()


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_clean_labels_keeps_objects_and_marks_the_rest(name):
    padding = np.full((1, 1, 4), -1.0, "float32")
    boxes = np.concatenate([to_format(XYXY, name), to_format(XYXY[:, :1], name), padding], axis=1)
    classes = np.array([[0, 2, 1, 3, -1]], "float32")  # 3 is none of 3 classes
    cleaned, kept = arrays(*clean_labels(boxes, classes, 3, name, SIZE, MODEL_SIZE))
    assert kept.tolist() == [[0, 2, 1, -1, -1]]
    outside = np.array([[[96, 64, 97, 65]] * 2], "float32")  # one pixel beyond the padded image: it can be encoded
    expected = to_format(np.concatenate([CLIPPED, outside], axis=1), name, MODEL_SIZE)
    np.testing.assert_allclose(cleaned, expected, atol=1e-4)


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_restore_detections(name):
    on_model = np.array([[[82, 0, 95, 9], [-5, 10, 20, 62], [60, 40, 90, 60], [0, 0, 0, 0]]], "float32")
    detections = {
        "boxes": to_format(on_model, name, MODEL_SIZE),
        "confidence": np.array([[0.9, 0.8, 0.7, -1]], "float32"),
        "labels": np.array([[5, 6, 7, -1]], "float32"),
        "num_detections": np.array([3], "int32"),
    }
    restored = {
        key: ops.convert_to_numpy(value)
        for key, value in restore_detections(detections, name, SIZE, MODEL_SIZE).items()
    }
    # the first lies in the padding and is gone, the others move up
    np.testing.assert_allclose(restored["boxes"][0, :2], to_format(CLIPPED[0, 1:], name), atol=1e-4)
    assert (restored["boxes"][0, 2:] == -1).all()
    np.testing.assert_allclose(restored["confidence"], [[0.8, 0.7, -1, -1]])
    assert restored["labels"].tolist() == [[6, 7, -1, -1]] and restored["num_detections"].tolist() == [2]


def test_formats_are_those_of_keras():
    for name in BOX_FORMATS:
        converted = keras.utils.bounding_boxes.convert_format(XYXY, source="xyxy", target=name, height=50, width=80)
        np.testing.assert_allclose(ops.convert_to_numpy(converted), to_format(XYXY, name), rtol=1e-5)


@pytest.mark.parametrize("name", ["xyyx", "coco", "XYXY", None, 4])
def test_unknown_format(name):
    with pytest.raises(ValueError, match=r"must be one of 'xyxy', .*'rel_xywh', got"):
        check_box_format(name)


def test_pairwise_iou_is_that_of_keras():
    """Of boxes apart, touching, one inside the other, the same, and without area."""
    boxes = np.array(
        [[0, 0, 4, 4], [4, 0, 8, 4], [1, 1, 2, 3], [3, 2, 9, 9], [5, 5, 5, 5], [-1, -1, -1, -1]], "float32"
    )
    expected = keras.utils.bounding_boxes.compute_iou(boxes, boxes[:4], "xyxy")
    np.testing.assert_allclose(pairwise_iou(boxes, boxes[:4]), expected, rtol=1e-6)
    batch = np.stack([boxes, boxes[::-1]])
    expected = keras.utils.bounding_boxes.compute_iou(batch, batch[:, :2], "xyxy")
    np.testing.assert_allclose(pairwise_iou(batch, batch[:, :2]), expected, rtol=1e-6)
    np.testing.assert_allclose(pairwise_iou(boxes, batch), keras.utils.bounding_boxes.compute_iou(boxes, batch, "xyxy"))


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_corners_are_those_of_keras(name):
    corners = np.array([[[10.0, 20.0, 40.0, 80.0], [0.0, 5.0, 199.0, 99.0]]], "float32")
    size = {"height": 100, "width": 200}
    convert = keras.utils.bounding_boxes.convert_format
    boxes = convert(corners, source="xyxy", target=name, dtype="float32", **size)
    found = to_corners(keras.ops.convert_to_numpy(boxes), name, (100, 200))
    np.testing.assert_allclose(found, corners, rtol=1e-5)
