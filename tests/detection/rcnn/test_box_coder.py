"""Box deltas against their formula in float64, there and back."""

import math

import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.rcnn.box_coder import decode_boxes, encode_boxes

DEVIATIONS = [(1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2), (0.5, 1.0, 2.0, 4.0)]


def pairs(count=200):
    random = np.random.RandomState(3)
    corner, sides = random.uniform(-50, 500, (2, count, 2)), np.exp(random.uniform(0, 5, (2, count, 2)))
    return np.concatenate([corner, corner + sides], axis=-1).astype("float32")


def centred(boxes):
    boxes = np.asarray(boxes, "float64")
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sides / 2, sides


def encoded(boxes, anchors, deviations):
    (centre, sides), (anchor_centre, anchor_sides) = centred(boxes), centred(anchors)
    return np.concatenate([(centre - anchor_centre) / anchor_sides, np.log(sides / anchor_sides)], -1) / deviations


def decoded(deltas, anchors, deviations):
    centre, sides = centred(anchors)
    deltas = np.asarray(deltas, "float64") * deviations
    centre = centre + deltas[..., :2] * sides
    sides = sides * np.exp(np.minimum(deltas[..., 2:], math.log(1000 / 16)))
    return np.concatenate([centre - sides / 2, centre + sides / 2], -1)


def call(function, first, anchors, deviations):
    return ops.convert_to_numpy(function(*map(ops.convert_to_tensor, (first, anchors)), deviations))


@pytest.mark.parametrize("deviations", DEVIATIONS)
def test_encode(deviations):
    boxes, anchors = pairs()
    deltas = call(encode_boxes, boxes, anchors, deviations)
    np.testing.assert_allclose(deltas, encoded(boxes, anchors, deviations), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("deviations", DEVIATIONS)
def test_decode(deviations):
    _, anchors = pairs()
    deltas = np.random.RandomState(4).standard_normal((200, 4)).astype("float32") / np.array(deviations, "float32")
    boxes = call(decode_boxes, deltas, anchors, deviations)
    np.testing.assert_allclose(boxes, decoded(deltas, anchors, deviations), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("deviations", DEVIATIONS)
def test_there_and_back(deviations):
    boxes, anchors = pairs()
    deltas = call(encode_boxes, boxes, anchors, deviations)
    near = np.exp(deltas[..., 2:] * deviations[2:]).max(-1) < 1000 / 16
    assert near.mean() > 0.9
    np.testing.assert_allclose(call(decode_boxes, deltas, anchors, deviations)[near], boxes[near], rtol=1e-3, atol=0.02)


def test_default_deviations_are_ones():
    boxes, anchors = map(ops.convert_to_tensor, pairs())
    np.testing.assert_array_equal(
        *map(ops.convert_to_numpy, (encode_boxes(boxes, anchors), encode_boxes(boxes, anchors, DEVIATIONS[0])))
    )
    np.testing.assert_array_equal(
        *map(
            ops.convert_to_numpy,
            (decode_boxes(boxes / 500, anchors), decode_boxes(boxes / 500, anchors, DEVIATIONS[0])),
        )
    )


@pytest.mark.parametrize("deviations", DEVIATIONS)
def test_sides_are_limited_after_the_deviations(deviations):
    """`dw` and `dh` are limited to log(1000 / 16), which is a side 62.5 times that of the anchor."""
    anchors = np.array([[10, 20, 14, 28]] * 4, "float32")
    limit = math.log(1000 / 16)
    logs = np.array([[limit + 1, 0], [1e4, 1e4], [limit - 0.5, limit], [-1e4, -3]])
    deltas = np.concatenate([np.zeros((4, 2)), logs], -1) / deviations
    boxes = call(decode_boxes, deltas.astype("float32"), anchors, deviations)
    sides = boxes[:, 2:] - boxes[:, :2]
    expected = np.exp(np.minimum(logs, limit)) * (4, 8)
    np.testing.assert_allclose(sides, expected, rtol=1e-4, atol=1e-4)
    assert sides.max() <= 500.1


def test_any_leading_axes_and_shared_anchors():
    boxes, anchors = pairs(24)
    boxes, deltas = boxes.reshape(2, 3, 4, 4), (boxes / 500).reshape(2, 3, 4, 4)
    np.testing.assert_allclose(
        call(encode_boxes, boxes, anchors.reshape(2, 3, 4, 4), DEVIATIONS[1]),
        encoded(boxes, anchors.reshape(2, 3, 4, 4), DEVIATIONS[1]),
        rtol=1e-4,
        atol=1e-3,
    )
    shared = anchors[:4]  # as anchors of all images, or of all classes
    np.testing.assert_allclose(
        call(decode_boxes, deltas, np.broadcast_to(shared, deltas.shape), DEVIATIONS[1]),
        decoded(deltas, shared, DEVIATIONS[1]),
        rtol=1e-4,
        atol=1e-2,
    )


def test_boxes_without_area_are_finite():
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 9]], "float32")
    anchors = np.array([[0, 0, 8, 8], [4, 4, 4, 4]], "float32")
    assert np.isfinite(call(encode_boxes, boxes, anchors, DEVIATIONS[0])).all()
    assert np.isfinite(call(decode_boxes, np.ones((2, 4), "float32"), anchors, DEVIATIONS[0])).all()
