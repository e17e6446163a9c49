"""Pasting against a loop over pixels, and by hand."""

import math

import numpy as np
import pytest
from pycocotools import mask as coder

from keras_mambaout.detection.predicted_masks import encode_masks, paste_masks

pytestmark = pytest.mark.no_backend

SIZE = (23, 31)
BOXES = [
    [3.2, 4.7, 20.9, 15.1],
    [-6.5, -3.25, 12.75, 9.5],  # partly outside, on both sides
    [25.0, 10.0, 40.0, 30.0],
    [0, 0, 31, 23],
    [5.5, 5.5, 6.5, 6.5],  # a pixel's centre is on each of its corners
    [7.6, 7.6, 8.4, 8.4],  # between the centres
]


def value(mask, y, x):
    """Bilinear, 0 around the mask, as `grid_sample(align_corners=False)` has it."""
    total = 0.0
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < len(mask) and 0 <= j < len(mask):
                total += (1 - abs(y - i)) * (1 - abs(x - j)) * mask[i, j]
    return total


def slow_values(mask, box, size):
    left, top, right, bottom = box
    values = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = column + 0.5, row + 0.5
            if left <= x <= right and top <= y <= bottom:
                v, u = ((y - top) / (bottom - top), (x - left) / (right - left))
                values[row, column] = value(mask, v * len(mask) - 0.5, u * len(mask) - 0.5)
    return values


@pytest.mark.parametrize(("cells", "threshold"), [(28, 0.5), (5, 0.3), (1, 0.5)])
def test_it_is_what_a_loop_over_pixels_gives(cells, threshold):
    masks = np.random.default_rng(cells).uniform(size=(len(BOXES), cells, cells))
    pasted = paste_masks(masks, BOXES, SIZE, threshold)
    assert pasted.shape == (len(BOXES), *SIZE) and pasted.dtype == bool
    for mask, box, result in zip(masks, BOXES, pasted, strict=True):
        values = slow_values(mask, box, SIZE)
        clear = np.abs(values - threshold) > 1e-5
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(result[clear], values[clear] >= threshold)


def test_a_full_mask_fills_its_box():
    pasted = paste_masks(np.ones((2, 28, 28)), [[4, 2, 20, 11], [-5, 6, 100, 9]], SIZE)
    expected = np.zeros((2, *SIZE), bool)
    expected[0, 2:11, 4:20] = expected[1, 6:9] = True
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize(
    "box", [[-1, -1, -1, -1], [5, 5, 5, 9], [9, 5, 5, 9], [50, 50, 60, 60], [np.nan] * 4, [0, 0, np.inf, 9]]
)
def test_no_area_in_the_image(box):
    assert not paste_masks(np.ones((1, 28, 28)), [box], SIZE).any()
    assert encode_masks(np.ones((1, 28, 28)), [box], SIZE)[0]["size"] == [23, 31]


def test_run_lengths_hold_the_same():
    masks = np.random.default_rng(0).uniform(size=(len(BOXES), 28, 28))
    encoded = encode_masks(masks, BOXES, SIZE, 0.4)
    assert all(type(runs["counts"]) is str and runs["size"] == list(SIZE) for runs in encoded)
    np.testing.assert_array_equal(np.moveaxis(coder.decode(encoded), -1, 0), paste_masks(masks, BOXES, SIZE, 0.4))


def test_none():
    assert paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), SIZE).shape == (0, *SIZE)
    assert encode_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), SIZE) == []


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"got shapes \(1, 20, 28\) and \(1, 4\)"):
        paste_masks(np.ones((1, 20, 28)), [[0, 0, 5, 5]], SIZE)
    with pytest.raises(ValueError, match=r"\(1, 28, 28\) and \(2, 4\)"):
        encode_masks(np.ones((1, 28, 28)), [[0, 0, 5, 5]] * 2, SIZE)
    with pytest.raises(ValueError, match="`threshold` must be a number from 0 to 1, got 2"):
        paste_masks(np.ones((1, 28, 28)), [[0, 0, 5, 5]], SIZE, 2)
