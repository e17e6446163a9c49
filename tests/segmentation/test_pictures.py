"""Pictures of classes of pixels: colours at their places, and a legend of what is seen."""

import numpy as np
import pytest

from keras_mambaout.segmentation import class_palette, draw_segmentation
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.pictures import GAP
from keras_mambaout.visualization import distinct_colors

pytestmark = pytest.mark.no_backend

SIDE = 64
PALETTE = np.array([(250, 0, 0), (0, 240, 0), (0, 0, 230), (90, 90, 90)], "uint8")


def scene():
    """A photo of 32 x 64 pixels, and its labels: class 0 above, 2 below on the left, not labelled on the right."""
    photo = np.full((32, 64, 3), 77, "uint8")
    labels = np.zeros((32, 64), "int32")
    labels[16:, :40], labels[16:, 40:] = 2, 255
    return photo, labels


def legend_colors(picture, rows):
    """The colours of the squares of the legend, below so many rows of a picture, from left to right and down."""
    left = picture[rows:, 2]
    found = [tuple(color) for color in left[np.any(left != 255, axis=-1)]]
    return list(dict.fromkeys(found))


def test_one_row_per_photo_and_its_classes_in_their_colours():
    photo, labels = scene()
    prediction = np.full((32, 64), 3)
    picture = draw_segmentation([photo, photo], [prediction, labels], [labels, labels], list("abcd"), PALETTE, SIDE)
    assert picture.dtype == "uint8" and picture.shape[1] == 3 * (SIDE + GAP)
    (top,) = np.flatnonzero((picture[:, 0] == 77).all(-1))[:1]
    for row, (first, second) in enumerate(((prediction, labels), (labels, labels))):
        start = top + row * (32 + GAP)
        colors = np.concatenate([PALETTE, np.zeros((252, 3), "uint8")])  # what is not labelled is black
        parts = (photo, colors[first], colors[second])
        for column, expected in enumerate(parts):
            left = column * (SIDE + GAP)
            np.testing.assert_array_equal(picture[start : start + 32, left : left + SIDE], expected)
    for left in range(0, picture.shape[1], SIDE + GAP):
        assert (picture[:top, left : left + SIDE] < 100).any()  # a title above each


def test_legend_has_what_is_seen_most_frequent_first():
    photo, labels = scene()
    picture = draw_segmentation([photo], labels=[labels], palette=PALETTE, side=SIDE)
    assert picture.shape[1] == 2 * (SIDE + GAP)
    (top,) = np.flatnonzero((picture[:, 0] == 77).all(-1))[:1]
    assert legend_colors(picture, top + 32 + GAP) == [(250, 0, 0), (0, 0, 230), (0, 0, 0)]  # below each other


def test_long_names_are_cut_and_many_classes_get_many_rows():
    photo = np.zeros((16, 128, 3), "uint8")
    labels = np.tile(np.arange(128), (16, 1))
    names = [f"a class with a name that has no end, number {number}" for number in range(128)]
    picture = draw_segmentation([photo], [labels], class_names=names, side=300)
    assert picture.shape[0] > 128 / 3 * 15 and picture.shape[1] == 2 * (300 + GAP)
    assert len(legend_colors(picture, 60)) > 30


def test_photos_keep_their_proportions():
    tall, wide = np.zeros((50, 20, 3), "uint8"), np.zeros((20, 50, 3))
    picture = draw_segmentation([tall, wide], [np.zeros((50, 20), int), np.zeros((20, 50), int)], side=SIDE)
    black = (picture[:, :SIDE] == 0).all(-1)
    assert black.any(0).sum() == SIDE and black[:, SIDE // 2].sum() >= SIDE + 25


def test_ade20k_has_its_own_colours():
    names, colors = ade20k_classes()
    assert len(names) == 150 and names[:3] == ["wall", "building", "sky"] and names[149] == "flag"
    np.testing.assert_array_equal(class_palette(names), colors)
    assert colors[0] == (120, 120, 120) and colors[6] == colors[48] == (140, 140, 140)  # road and skyscraper
    assert len(set(colors)) == 149
    np.testing.assert_array_equal(class_palette(names[:5]), distinct_colors(5))


def test_ade20k_is_that_of_the_benchmark(data_dir):
    scipy_io = pytest.importorskip("scipy.io")
    folder = data_dir / "scenes" / "ade20k"
    names, colors = ade20k_classes()
    np.testing.assert_array_equal(colors, scipy_io.loadmat(folder / "color150.mat")["colors"])
    with open(folder / "objectInfo150.txt", encoding="latin-1") as file:
        rows = [line.rstrip("\n").split("\t")[-1] for line in file][1:]
    assert [row.split(",")[0].strip() for row in rows] == names


def test_wrong_input_is_named():
    photo, labels = scene()
    for arguments, message in (
        (([],), "nothing to draw"),
        (([photo],), "`predictions` or `labels`"),
        (([photo], [labels, labels]), "one prediction for each photo, got 2 for 1"),
        (([photo], None, [labels[:5]]), r"A truth must be integers of the size of its photo, \(32, 64\), got int32"),
        (([photo], [labels.astype(float)]), "got float64"),
        (([photo], [labels - 1]), "must be of 0 to 255, got -1 to 254"),
        (([photo], [labels], None, ["a", "b"]), "`class_names` has 2 rows, but there are pixels of class 2"),
        (([photo], [labels], None, None, PALETTE[:2]), "has 2 rows, but there are pixels of class 2"),
    ):
        with pytest.raises(ValueError, match=message):
            draw_segmentation(*arguments)
