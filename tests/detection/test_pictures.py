"""Pictures of labels beside detections."""

import numpy as np
import pytest
import white
from white import FindsWhite

from keras_mambaout.detection import CocoDataset, draw_examples


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset.from_json(*white.write(tmp_path))


def test_labels_are_on_the_left_and_detections_on_the_right(dataset):
    """The labels on the left have the whole mask, and the detections on the right once that, once its upper quarter."""
    arguments = {"indices": [2], "image_size": 64, "side": 320}
    full = draw_examples(FindsWhite(), dataset, **arguments)
    part = draw_examples(FindsWhite(filled=0.25), dataset, **arguments)
    np.testing.assert_array_equal(part[:, :320], full[:, :320])
    rows = slice(80, 160)  # the box 2, 3, 40, 31 is at 10, 15, 200, 155: this is below the name, above the lower edge
    left, right = (rows, slice(20, 200)), (rows, slice(344, 524))
    assert (part[right] == 255).all() and (full[right] != 255).any(-1).all()
    np.testing.assert_array_equal(full[left], full[right])


def test_pairs_in_columns(dataset):
    picture = draw_examples(FindsWhite(), dataset, range(3), image_size=64, columns=2, side=100)
    assert picture.shape == (2 * (75 + 4), 4 * (100 + 4), 3)
    assert (picture[79:, 208:] == 255).all(), "there is no fourth pair"
    first = draw_examples(FindsWhite(), dataset, [0], image_size=64, side=100)
    np.testing.assert_array_equal(picture[:79, :208], first)


def test_nothing_to_draw(dataset):
    with pytest.raises(ValueError, match="nothing to draw: give one index or more"):
        draw_examples(FindsWhite(), dataset, [])
