"""Images that cannot be read are named and left out."""

import logging
import os

import numpy as np
import pytest
import tensorflow as tf
from grey_fruit import LABELS, SMALL, Shift, flat, numbers, read, write_folder

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
    """The next one comes instead; the others keep their place, class and augmentation, and it has that of its place."""
    paths = write_folder(tmp_path)
    arguments = {**SMALL, "training": True, "augmentation": Shift(mixing=False), "epochs": (0, 3)}

    def pixels_and_labels(fruit):
        return [np.concatenate(part) for part in zip(*read(fruit.batches(**arguments)), strict=True)]

    pixels, _ = pixels_and_labels(ClassificationDataset.from_folder(tmp_path))
    instead = {2: 4, 3: 4, 5: 6, 12: 0}
    for index in instead:
        with open(paths[index], "r+b") as file:
            file.truncate(40)
    grey, labels = pixels_and_labels(ClassificationDataset.from_folder(tmp_path))
    before = (pixels[:, 0, 0, 0] // 10).astype(int)
    after = np.array([instead.get(number, number) for number in before.tolist()])
    np.testing.assert_allclose(grey[:, 0, 0, 0], pixels[:, 0, 0, 0] + 10 * (after - before), atol=1e-4)
    np.testing.assert_array_equal(labels, np.array(LABELS)[after])


def test_where_nothing_is_readable_any_more(tmp_path):
    paths = write_folder(tmp_path)
    batches = ClassificationDataset.from_folder(tmp_path).batches(**SMALL, training=True)
    for path in paths:
        os.remove(path)
    with pytest.raises(tf.errors.OpError, match="No image is readable any more; the warnings above say why"):
        next(batches.as_numpy_iterator())


def test_errors_of_any_kind_do_not_end_a_training(tmp_path, monkeypatch, caplog):
    """Pillow's errors on damaged files are of many types."""

    def fail(path):
        if path.endswith("07.png"):
            raise IndexError("out of data")
        return load_image(path)

    paths = write_folder(tmp_path)
    monkeypatch.setattr("keras_mambaout.data.image_files.decode_image", fail)
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
