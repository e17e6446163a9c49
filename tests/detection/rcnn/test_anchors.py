"""Anchors against the loop that defines them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.rcnn.anchors import ASPECT_RATIOS, make_anchors


def by_loops(height, width, stride, scale, ratios):
    anchors = []
    for row in range(height):
        for column in range(width):
            for ratio in ratios:
                wide, high = scale * stride / ratio**0.5, scale * stride * ratio**0.5
                x, y = column * stride, row * stride
                anchors.append([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2])
    return np.array(anchors)


@pytest.mark.parametrize(
    ("height", "width", "stride", "options"),
    [
        (3, 5, 4, {}),
        (1, 1, 64, {}),
        (7, 2, 16, {"scale": 4}),
        (2, 3, 8, {"scale": 5, "aspect_ratios": (1 / 3, 1, 2, 3)}),
    ],
)
def test_formula(height, width, stride, options):
    anchors = make_anchors(height, width, stride, **options)
    expected = by_loops(height, width, stride, options.get("scale", 8), options.get("aspect_ratios", (0.5, 1.0, 2.0)))
    assert keras.backend.standardize_dtype(anchors.dtype) == "float32"
    np.testing.assert_allclose(ops.convert_to_numpy(anchors), expected, atol=1e-3)


def test_kerashubs_generator_differs_as_the_docstring_says():
    """It rounds the anchors, and spreads those of the coarsest level over the image."""
    keras_hub = pytest.importorskip("keras_hub")
    generator = keras_hub.layers.AnchorGenerator("xyxy", 2, 6, 1, list(ASPECT_RATIOS), anchor_size=8.0)
    theirs = {name: ops.convert_to_numpy(boxes) for name, boxes in generator(ops.zeros((1, 800, 1280, 3))).items()}
    ours = ops.convert_to_numpy(make_anchors(200, 320, 4))
    np.testing.assert_array_equal(theirs["P2"], np.round(theirs["P2"]))
    assert 0.3 < np.abs(theirs["P2"] - ours).max() < 1
    coarsest = ops.convert_to_numpy(make_anchors(13, 20, 64))
    assert theirs["P6"].shape == coarsest.shape
    steps = [np.diff(boxes[1 :: 3 * 20, 1]) for boxes in (theirs["P6"], coarsest)]
    assert (steps[0] == 61).all() and (steps[1] == 64).all()


def test_numbers_of_mmdet():
    """The anchors of the first cell at stride 4 (torchvision rounds them, mmdet does not), and of the last."""
    anchors = ops.convert_to_numpy(make_anchors(200, 320, 4))
    assert anchors.shape == (192000, 4)
    expected = [
        [-22.627417, -11.3137085, 22.627417, 11.3137085],
        [-16, -16, 16, 16],
        [-11.3137085, -22.627417, 11.3137085, 22.627417],
    ]
    np.testing.assert_allclose(anchors[:3], expected, atol=1e-4)
    np.testing.assert_allclose(anchors[-2], [1276 - 16, 796 - 16, 1276 + 16, 796 + 16], atol=1e-3)
    np.testing.assert_allclose(anchors[4], [4 - 16, -16, 4 + 16, 16], atol=1e-4)  # columns before rows
