"""Images that cannot be read are named and left out."""

import logging

import numpy as np
import pytest
from grey_fruit import SMALL, Shift, flat, numbers, read, write_folder

from keras_mambaout.classification import ClassificationDataset
from keras_mambaout.preprocessing.reading import load_image

pytestmark = pytest.mark.no_backend


def test_unreadable_images_in_evaluation(tmp_path, caplog):
    paths = write_folder(tmp_path, damaged=(0, 4, 12))
    fruit = ClassificationDataset.from_folder(tmp_path)
    assert fruit.unreadable == []
    batches = fruit.batches(**SMALL)
    with caplog.at_level(logging.WARNING):
        assert numbers(batches) == numbers(batches) == [[1, 2, 3, 5], [6, 7, 8, 9], [10, 11]]
    assert fruit.unreadable == [paths[0], paths[4], paths[12]]
    assert len(fruit) == 13
    assert len(caplog.messages) == 3, "each is named once"
    assert any(
        message.startswith(f"{paths[4]!r} is not a readable image, it may be damaged: ")
        and message.endswith("; it is left out.")
        for message in caplog.messages
    )


def test_unreadable_images_in_training(tmp_path):
    """Nine images for twelve places: the three that came first come again, augmented alike."""
    write_folder(tmp_path, damaged=(2, 3, 5, 11))
    fruit = ClassificationDataset.from_folder(tmp_path)
    batches = fruit.batches(**SMALL, training=True, augmentation=Shift(mixing=False), epochs=(0, 3))
    images = np.concatenate([images[:, 0, 0, 0] for images, _ in read(batches)]).reshape(3, 12)
    for epoch in images:
        assert sorted((epoch[:9] // 10).astype(int)) == [0, 1, 4, 6, 7, 8, 9, 10, 12]
        np.testing.assert_array_equal(epoch[9:], epoch[:3])


def test_errors_of_any_kind_do_not_end_a_training(tmp_path, monkeypatch, caplog):
    """Pillow's errors on damaged files are of many types."""

    def fail(path):
        if path.endswith("07.png"):
            raise IndexError("out of data")
        return load_image(path)

    paths = write_folder(tmp_path)
    monkeypatch.setattr("keras_mambaout.data.image_files.load_image", fail)
    fruit = ClassificationDataset.from_folder(tmp_path)
    assert len(flat(fruit.batches(**SMALL))) == 12
    assert fruit.unreadable == [paths[7]]
    assert f"{paths[7]!r} is not a readable image" in caplog.text and "out of data" in caplog.text


def test_no_readable_image(tmp_path):
    write_folder(tmp_path, damaged=range(13))
    for training in (True, False):
        fruit = ClassificationDataset.from_folder(tmp_path)
        with pytest.raises(ValueError, match="None of the 13 images is readable"):
            fruit.batches(**SMALL, training=training)
