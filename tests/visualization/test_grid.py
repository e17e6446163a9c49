"""Tiles at their places, on white."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from keras_mambaout.visualization import make_grid, make_legend, make_tile, make_title, resize_to_fit, side_by_side
from keras_mambaout.visualization.grid import add_lines

pytestmark = pytest.mark.no_backend

FONT = ImageFont.load_default(size=11)


def grey(height, width, value):
    return np.full((height, width, 3), value, "uint8")


def test_images_fit_and_keep_their_proportions():
    assert resize_to_fit(grey(50, 20, 7), 64).shape == (64, 26, 3)
    assert resize_to_fit(grey(20, 50, 7), 25).shape == (10, 25, 3)
    pixels = np.array([[-4.0, 300.0]] * 2)[..., None].repeat(3, -1)
    assert resize_to_fit(pixels, 2).tolist() == [[[0] * 3, [255] * 3]] * 2
    labels = np.arange(12, dtype="uint8").reshape(2, 2, 3)
    np.testing.assert_array_equal(resize_to_fit(labels, 4, Image.Resampling.NEAREST)[::2, ::2], labels)


def test_a_tile_is_in_the_middle():
    tile = make_tile(grey(10, 5, 7), 12, 4)
    assert tile.shape == (14, 16, 3)
    inside = np.zeros((14, 16), bool)
    inside[:10, 3:8] = True
    assert (tile[inside] == 7).all() and (tile[~inside] == 255).all()


def test_images_in_rows():
    row = side_by_side([grey(3, 4, 1), grey(5, 2, 2)])
    assert row.shape == (5, 6, 3)
    assert (row[:3, :4] == 1).all() and (row[3:, :4] == 255).all() and (row[:, 4:] == 2).all()
    grid = make_grid([grey(3, 4, value) for value in range(5)], 2)
    assert grid.shape == (9, 8, 3)
    assert grid[::3, ::4, 0].tolist() == [[0, 1], [2, 3], [4, 255]]
    assert make_grid([grey(3, 4, 1)], 1).shape == (3, 4, 3)


def test_titles_are_above_the_middle():
    title = make_title("image", 100, 6, FONT)
    columns = np.flatnonzero((title < 128).any((0, 2)))
    assert title.shape == (20, 106, 3) and abs(columns.mean() - 50) < 3 and columns.max() < 80


def test_lines_are_below_and_tiles_with_fewer_are_as_large():
    one, two = (add_lines(grey(20, 60, 7), lines, 2, 14, 2) for lines in (["daisy"], ["70% rose", "30% daisy"]))
    assert one.shape == two.shape == (20 + 2 + 2 * 14, 62, 3)
    assert (one[:20, :60] == 7).all() and (one[20:22] == 255).all() and (one[:, 60:] == 255).all()
    assert (one[22:36] < 128).any() and (one[36:] == 255).all() and (two[36:] < 128).any()


def test_legends_break_lines_and_cut_names():
    entries = [("wall", (250, 0, 0)), ("sky", (0, 240, 0)), ("a name that is far too long for it", (0, 0, 230))]
    wide, narrow = (make_legend(entries, width, 6, FONT) for width in (700, 20))
    assert wide.shape == (18 + 6, 700, 3) and narrow.shape == (3 * 18 + 6, 20, 3)
    assert narrow[[9, 27, 45], 5].tolist() == [list(color) for _, color in entries]
    cut = make_legend([("x" * 24, (9, 9, 9))], 700, 6, FONT), make_legend([("x" * 23 + "yz", (9, 9, 9))], 700, 6, FONT)
    assert cut[0].shape == cut[1].shape and (cut[0] != cut[1]).any()
    np.testing.assert_array_equal(cut[1], make_legend([("x" * 23 + "…", (9, 9, 9))], 700, 6, FONT))
