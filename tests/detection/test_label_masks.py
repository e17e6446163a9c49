"""Masks in the frames of their boxes: by hand, and those drawn from polygons against those cropped from images."""

import numpy as np
import pytest
from pycocotools import mask as coder

from keras_mambaout.detection.label_masks import crop_masks, draw_box_masks, draw_masks

pytestmark = pytest.mark.no_backend


def test_crop_by_hand():
    """Cells of a box 4 wide and 2 high, 2 by 2: their centres are at x = 3, 5 and y = 1.5, 2.5."""
    mask = np.arange(48).reshape(1, 6, 8) % 2 == 1  # the odd columns
    np.testing.assert_array_equal(crop_masks(mask, [[2, 1, 6, 3]], 2), [[[1, 1], [1, 1]]])
    np.testing.assert_array_equal(crop_masks(mask, [[1, 1, 5, 3]], 2), [[[0, 0], [0, 0]]])
    np.testing.assert_array_equal(crop_masks(mask, [[1, 1, 3, 3]], 4)[0], np.tile([1, 1, 0, 0], (4, 1)))


def test_sides_are_not_mixed_up():
    mask = np.zeros((1, 10, 20), "uint8")
    mask[0, 2:4, 6:18] = 7  # the upper third of the box below, but for its right half from column 18 on
    crop = crop_masks(mask, [[6, 2, 30, 8]], 12)
    assert crop.dtype == np.uint8
    expected = np.zeros((1, 12, 12))
    expected[0, :4, :6] = 1
    np.testing.assert_array_equal(crop, expected)


def test_boxes_outside_and_without_area():
    masks = np.ones((4, 10, 10))
    boxes = [[-10, 0, 10, 10], [20, 20, 30, 30], [-1, -1, -1, -1], [3, 3, 3, 5]]
    crops = crop_masks(masks, boxes, 4)
    np.testing.assert_array_equal(crops[0], np.tile([0, 0, 1, 1], (4, 1)))
    assert not crops[1:].any()
    assert crop_masks(np.zeros((0, 10, 10)), np.zeros((0, 4)), 4).shape == (0, 4, 4)


def test_bad_crops():
    with pytest.raises(ValueError, match=r"got shapes \(10, 10\) and \(1, 4\)"):
        crop_masks(np.ones((10, 10)), [[0, 0, 5, 5]], 4)
    with pytest.raises(ValueError, match=r"\(1, 10, 10\) and \(2, 4\)"):
        crop_masks(np.ones((1, 10, 10)), [[0, 0, 5, 5]] * 2, 4)
    with pytest.raises(ValueError, match="`mask_size` must be an integer of 1 or more, got 0"):
        crop_masks(np.ones((1, 10, 10)), [[0, 0, 5, 5]], 0)


TRIANGLE = [10.25, 20.5, 90.25, 20.5, 10.25, 60.5]  # its box is 80 x 40


def test_a_polygon_is_drawn_in_its_frame():
    """The right angle is at the upper left: of the cells those above the diagonal are covered."""
    box = np.array([[10.25, 20.5, 90.25, 60.5]])
    mask = draw_box_masks([[TRIANGLE]], box, (100, 100), 40)[0]
    rows, columns = np.indices((40, 40)) + 0.5
    away = np.abs(rows + columns - 40) > 1
    np.testing.assert_array_equal(mask[away], (rows + columns < 40)[away])
    assert mask.dtype == np.uint8


def test_parts_and_lines():
    """Two parts of an object are both drawn; lines cover nothing."""
    box = np.array([[0.0, 0, 8, 8]])
    left, right = [0, 0, 2, 0, 2, 8, 0, 8], [6, 0, 8, 0, 8, 8, 6, 8]
    mask = draw_box_masks([[left, right, [3, 3, 5, 5, 3, 3]]], box, (8, 8), 4)[0]
    np.testing.assert_array_equal(mask, np.tile([1, 0, 0, 1], (4, 1)))
    assert not draw_box_masks([[[3, 3, 5, 5, 3, 3]]], box, (8, 8), 4).any()
    assert draw_box_masks([], np.zeros((0, 4)), (8, 8), 4).shape == (0, 4, 4)


def test_a_box_that_does_not_fit_its_polygon():
    """A sliver of a box would make the polygon enormous in its frame; it is drawn nevertheless."""
    square = [0, 0, 1000, 0, 1000, 1000, 0, 1000]
    assert draw_box_masks([[square]], np.array([[500, 500, 500 + 1e-9, 500 + 1e-9]]), (1000, 1000), 112).all()
    assert not draw_box_masks([[square]], np.array([[1001, 500, 1001 + 1e-9, 501]]), (1000, 2000), 112).any()


def test_a_polygon_of_many_points_in_a_tiny_box():
    """Every side of its outline would cross the frame, and drawing it there take gigabytes."""
    comb = np.stack([np.arange(200_000) % 2 * 8, np.linspace(0, 8, 200_000)], -1).ravel().tolist()
    for side in (1e-3, 5e-324):
        masks = draw_box_masks([[comb]], np.array([[4.0, 4, 4 + side, 4 + side]]), (8, 8), 112)
        assert masks.shape == (1, 112, 112)
    small, large = (draw_masks([[comb]], (8, 8), (side, side))[0] for side in (8, 800))
    np.testing.assert_array_equal(large, np.kron(small, np.ones((100, 100))))


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths(compressed):
    """They are the crop of the mask that they hold."""
    mask = draw_masks([[TRIANGLE]], (100, 120), (100, 120))
    runs = coder.encode(np.asfortranarray(mask[0]))
    if not compressed:
        flat = mask[0].ravel("F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = {"size": [100, 120], "counts": np.diff([0, *edges, len(flat)]).tolist()}
    boxes = np.array([[10.25, 20.5, 90.25, 60.5]])
    np.testing.assert_array_equal(draw_box_masks([runs], boxes, (100, 120), 28), crop_masks(mask, boxes, 28))


def test_polygons_and_crops_agree(coco128):
    """Of real objects larger than 32 pixels, polygons in the frame of the box are what a crop of the mask is."""
    overlaps = []
    annotations = [item for item in coco128.ground_truth["annotations"] if not item["iscrowd"]]
    for item in annotations[::5]:
        x, y, width, height = item["bbox"]
        if min(width, height) > 32:
            size, box = coco128.image_size(item["image_id"]), np.array([[x, y, x + width, y + height]])
            drawn = draw_box_masks([item["segmentation"]], box, size, 112)
            cropped = crop_masks(draw_masks([item["segmentation"]], size, size), box, 112)
            overlaps.append((drawn & cropped).sum() / (drawn | cropped).sum())
    assert len(overlaps) > 80 and np.mean(overlaps) > 0.97 and min(overlaps) > 0.85
