"""RoIAlign against torchvision's: boxes inside, over the border and without area, and on all levels."""

import detection_cases as cases
import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.compare.frameworks import value_and_gradients
from keras_mambaout.detection.rcnn.roi_align import assign_levels, multiscale_roi_align, roi_align

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def expected():
    return cases.torchvision_results()


def align(feature, boxes, *args, **kwargs):
    return ops.convert_to_numpy(roi_align(*map(ops.convert_to_tensor, (feature, boxes)), *args, **kwargs))


class Pooled(keras.layers.Layer):
    """RoIAlign of a feature map that is a weight of the layer."""

    def __init__(self, feature, stride, output_size):
        super().__init__()
        self.stride, self.output_size = stride, output_size
        self.feature = self.add_weight(shape=feature.shape, initializer="zeros")
        self.feature.assign(feature)
        self.built = True

    def call(self, boxes, training=False):
        return roi_align(ops.convert_to_tensor(self.feature), boxes, self.stride, self.output_size)


@pytest.mark.parametrize("output_size", cases.OUTPUT_SIZES)
def test_one_level(expected, output_size):
    pooled = align(cases.feature(cases.STRIDE), cases.boxes(), cases.STRIDE, output_size)
    np.testing.assert_allclose(pooled, expected[f"one_level/{output_size}"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("output_size", cases.OUTPUT_SIZES)
def test_all_levels(expected, output_size):
    features = [ops.convert_to_tensor(feature) for feature in cases.pyramid()]
    pooled = multiscale_roi_align(features, ops.convert_to_tensor(cases.pyramid_boxes()), output_size)
    np.testing.assert_allclose(ops.convert_to_numpy(pooled), expected[f"pyramid/{output_size}"], rtol=0, atol=TOLERANCE)


def test_gradient_of_the_feature(expected):
    layer = Pooled(cases.feature(cases.STRIDE), cases.STRIDE, 7)
    weights = ops.convert_to_tensor(cases.cotangent(7))
    _, gradients = value_and_gradients(
        layer, ops.convert_to_tensor(cases.boxes()), lambda pooled: ops.sum(pooled * weights)
    )
    np.testing.assert_allclose(gradients[layer.feature.path], expected["gradient/7"], rtol=0, atol=TOLERANCE)


def test_levels(expected):
    levels = assign_levels(ops.convert_to_tensor(cases.pyramid_boxes()))
    assert keras.backend.standardize_dtype(levels.dtype) == "int32"
    np.testing.assert_array_equal(ops.convert_to_numpy(levels), expected["levels"])
    assert set(expected["levels"].flat) == {2, 3, 4, 5}


def test_levels_at_powers_of_two():
    """A box with twice the side, but for rounding, is on the next level; without area it is on the finest."""
    sides = np.array([0, 1e-3, 111.9, 112, 223.9, 223.99995, 447.9, 448, 5000], "float32")
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=-1)[None]
    levels = ops.convert_to_numpy(assign_levels(ops.convert_to_tensor(boxes)))
    assert levels.tolist() == [[2, 2, 2, 3, 3, 4, 4, 5, 5]]
    levels = ops.convert_to_numpy(assign_levels(ops.convert_to_tensor(boxes), min_level=3, max_level=4))
    assert levels.tolist() == [[3, 3, 3, 3, 3, 4, 4, 4, 4]]


def test_a_plane_is_read_where_the_cells_are():
    """Bilinear samples of a linear feature map are exact: a cell is the value at its centre."""
    rows, columns = np.mgrid[:20, :30].astype("float32")
    feature = np.stack([rows, columns], axis=-1)[None]
    left, top, right, bottom = box = (24.0, 40.0, 136.0, 96.0)
    pooled = align(feature, np.array([[box]], "float32"), 8, 4)[0, 0]
    y = (top + (bottom - top) * (np.arange(4) + 0.5) / 4) / 8 - 0.5  # in pixels of the feature
    x = (left + (right - left) * (np.arange(4) + 0.5) / 4) / 8 - 0.5
    np.testing.assert_allclose(pooled, np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1), atol=1e-5)


@pytest.mark.parametrize("sampling_ratio", [1, 3])
def test_sampling_ratios(sampling_ratio):
    """A cell is the mean of as many points as the formula says."""
    feature = cases.feature(8)
    boxes = np.array([[[20.0, 30.0, 90.0, 80.0]], [[8.0, 0.0, 60.0, 120.0]]], "float32")
    fine = align(feature, boxes, 8, 4 * sampling_ratio, sampling_ratio=1)
    mean = fine.reshape(2, 1, 4, sampling_ratio, 4, sampling_ratio, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(align(feature, boxes, 8, 4, sampling_ratio=sampling_ratio), mean, atol=1e-5)
