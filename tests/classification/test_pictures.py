"""A batch as a picture: images at their places, and the names of what is in them."""

import numpy as np
import pytest

from keras_mambaout.classification import draw_batch, draw_confusion_matrix
from keras_mambaout.classification.pictures import CELL, DARKEST, GAP, LINE, MARGIN, SIDE

pytestmark = pytest.mark.no_backend

IMAGES = np.stack([np.full((8, 8, 3), value, "float32") for value in (10, 60.6, 110, 160, 300)])
NAMES = ["daisy", "rose", "tulip"]
HEIGHT = SIDE + 2 * LINE


def lines_of(picture, index, columns):
    """Returns whether there is text in the two lines below an image."""
    top, left = index // columns * HEIGHT + SIDE, index % columns * SIDE
    return [bool((picture[top + n * LINE : top + (n + 1) * LINE, left : left + SIDE] < 128).any()) for n in (0, 1)]


def test_images_in_rows_with_their_labels():
    labels = np.array([[1, 0, 0], [0, 0.3, 0.7], [0.98, 0.02, 0], [0, 1, 0], [0.4, 0.3, 0.3]])
    picture = draw_batch(IMAGES, labels, NAMES, columns=3)
    assert picture.shape == (2 * HEIGHT, 3 * SIDE, 3) and picture.dtype == np.uint8
    for index, value in enumerate((10, 61, 110, 160, 255)):
        top, left = index // 3 * HEIGHT, index % 3 * SIDE
        assert (picture[top : top + SIDE - MARGIN, left : left + SIDE - MARGIN] == value).all()
    lines = [lines_of(picture, index, 3) for index in range(5)]
    assert lines == [[True, False], [True, True], [True, False], [True, False], [True, True]]
    assert (picture[HEIGHT:, 2 * SIDE :] == 255).all()


def test_a_small_batch_is_one_row():
    assert draw_batch(IMAGES[:2], np.eye(3)[:2], NAMES).shape == (HEIGHT, 2 * SIDE, 3)


def test_confusion_matrix():
    """A cell is as dark as its share of the row; of many classes, cells are small and without counts."""
    rows = [{"name": "daisy", "predictions": {"daisy": 8}}, {"name": "rose", "predictions": {"daisy": 3, "rose": 9}}]
    picture = draw_confusion_matrix(rows)
    matrix = picture[-2 * CELL - GAP : -GAP, -2 * CELL - GAP : -GAP]
    corners = matrix[::CELL, ::CELL]
    assert corners[0, 0].tolist() == DARKEST.tolist() and corners[0, 1].tolist() == [255, 255, 255]
    np.testing.assert_allclose(corners[1, 0], 255 - 0.25 * (255 - DARKEST), atol=0.5)
    assert (matrix[:CELL, :CELL] == 255).any() and (matrix[:CELL, CELL:] == 255).all()  # a count, and none of 0

    names = [str(number) for number in range(100)]
    picture = draw_confusion_matrix([{"name": name, "predictions": {name: 2}} for name in names])
    matrix = picture[-900 - GAP : -GAP, -900 - GAP : -GAP]
    assert (matrix[4::9, 4::9][np.eye(100, dtype=bool)] == DARKEST).all() and len(np.unique(matrix)) == 4
