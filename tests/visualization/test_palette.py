"""Colours of classes: distinct, as the script with scikit-image makes them."""

import runpy

import numpy as np
import pytest
from paths import FIXTURES

from keras_mambaout.visualization import color_label_map, distinct_colors, hue_color

pytestmark = pytest.mark.no_backend


def test_the_table_is_what_the_script_makes():
    pytest.importorskip("skimage")
    script = runpy.run_path(str(FIXTURES / "make_distinct_colors.py"))
    np.testing.assert_array_equal(distinct_colors(255), script["distinct_colors"]())


@pytest.mark.parametrize(("count", "distance"), [(2, 150), (3, 150), (21, 35), (64, 20), (150, 14), (255, 11)])
def test_colors_are_distinct(count, distance):
    """In CIELAB a difference of 2 can just be seen; the least, of the classes and to black, is far above."""
    lab = pytest.importorskip("skimage.color").rgb2lab(distinct_colors(count) / 255)
    between = np.linalg.norm(lab[:, None] - lab, axis=-1) + 1e9 * np.eye(count)
    assert lab.shape == (count, 3) and between.min() > distance and lab[:, 0].min() > 25
    np.testing.assert_array_equal(distinct_colors(count), distinct_colors(255)[:count])


def test_the_first_is_red_and_each_call_gives_a_copy():
    colors = distinct_colors(1)
    assert colors.dtype == np.uint8 and colors.tolist() == [[255, 0, 0]]
    colors[:] = 0
    assert distinct_colors(1).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize("count", [0, 256, 2.0, True])
def test_wrong_counts(count):
    with pytest.raises(ValueError, match="`count` must be an integer from 1 to 255, got"):
        distinct_colors(count)


def test_hues_of_neighbours_are_apart():
    """Colours as `draw_detections` has always had them."""
    assert [hue_color(index) for index in (0, 1, 79)] == [(191, 29, 29), (29, 76, 191), (183, 29, 191)]
    colors = np.array([hue_color(index) for index in range(1200)])
    assert np.abs(np.diff(colors, axis=0)).sum(1).min() > 100


def test_a_label_map_in_colours():
    labels = np.array([[0, 2], [255, 1]])
    palette = np.array([(1, 2, 3), (4, 5, 6), (7, 8, 9)], "uint8")
    picture = color_label_map(labels, palette)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[1, 2, 3], [7, 8, 9]], [[0, 0, 0], [4, 5, 6]]]
