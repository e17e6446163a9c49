"""Epochs of a folder of class folders: their order and augmentation are a function of seed and number."""

import keras
import numpy as np
import pytest
from grey_fruit import LABELS, SMALL, Shift, assert_same, flat, numbers, read, write_folder

from keras_mambaout.classification import ClassificationDataset, augmentation

pytestmark = pytest.mark.no_backend  # `tf.data` makes the same batches for each


def test_epochs_are_permutations(fruit):
    """Twelve of thirteen images come, each once; every image has its own label."""
    batches = fruit.batches(**SMALL, training=True, seed=3)
    assert len(batches) == 3 and batches.element_spec[0].shape == (4, 2, 2, 3)
    epochs = [flat(batches) for _ in range(4)]
    assert all(len(set(epoch)) == len(epoch) == 12 for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    assert {frozenset(epoch) for epoch in epochs} != {frozenset(epochs[0])}, "not always the same one is left out"
    for images, labels in batches.as_numpy_iterator():
        assert labels.tolist() == [LABELS[int(image[0, 0, 0]) // 10] for image in images]


def test_order_is_a_function_of_the_seed(fruit):
    keras.utils.set_random_seed(1)
    batches = fruit.batches(**SMALL, training=True, seed=3)
    epochs = [numbers(batches), numbers(batches)]
    keras.utils.set_random_seed(2)
    again = fruit.batches(**SMALL, training=True, seed=3)
    assert [numbers(again), numbers(again)] == epochs
    assert numbers(fruit.batches(**SMALL, training=True, seed=4)) != epochs[0]
    assert numbers(fruit.batches(**SMALL, training=True, seed=2**62)) != epochs[0]


AUGMENTED = {
    **SMALL,
    "training": True,
    "augmentation": Shift(),
    "label_mode": "categorical",
    "seed": 9,
}


def test_a_stream_is_the_epochs_in_turn(fruit):
    stream = fruit.batches(**AUGMENTED, epochs=(0, 3))
    assert len(stream) == 9
    batches = fruit.batches(**AUGMENTED)
    assert_same(read(stream), [batch for _ in range(3) for batch in read(batches)])


@pytest.mark.parametrize("damaged", [(), (1, 4, 7, 12)])
def test_a_stream_goes_on_where_another_stopped(tmp_path, damaged):
    write_folder(tmp_path, damaged)
    fruit = ClassificationDataset.from_folder(tmp_path)
    whole = read(fruit.batches(**AUGMENTED, epochs=(0, 5)))
    assert len(whole) == 5 * 3
    assert_same(read(fruit.batches(**AUGMENTED, epochs=(3, 5))), whole[9:])
    assert_same(read(fruit.batches(**AUGMENTED, epochs=(3, 5), first_step=2)), whole[11:])


def test_augmentation(fruit):
    """Every image, epoch and batch has random numbers of its own."""
    arguments = {**SMALL, "training": True, "seed": 9}
    plain = read(fruit.batches(**arguments, epochs=(0, 4)))
    shifted = read(fruit.batches(**arguments, epochs=(0, 4), augmentation=Shift(mixing=False)))
    shifts = np.concatenate([two - one for (one, _), (two, _) in zip(plain, shifted, strict=True)])[:, 0, 0, 0]
    assert shifts.min() >= 0 and shifts.max() < 1
    assert len(np.unique(np.round(shifts, 5))) > 46, "48 numbers, hardly any twice"
    mixed = read(fruit.batches(**AUGMENTED, epochs=(0, 4)))
    weights = []
    for (images, labels), (mixed_images, mixed_labels) in zip(shifted, mixed, strict=True):
        one_hot = np.eye(3)[labels]
        weights.append((mixed_images - images[::-1])[0, 0, 0, 0] / (images - images[::-1])[0, 0, 0, 0])
        np.testing.assert_allclose(mixed_images, weights[-1] * images + (1 - weights[-1]) * images[::-1], atol=1e-2)
        np.testing.assert_allclose(mixed_labels, weights[-1] * one_hot + (1 - weights[-1]) * one_hot[::-1], atol=1e-3)
    assert len(np.unique(np.round(weights, 4))) == 12


def test_the_augmentation_of_the_paper(data_dir):
    """What it does to the pixels is tested with it; here that a resumed training sees the same ones."""
    flowers = ClassificationDataset.from_folder(data_dir / "flowers" / "val")
    arguments = {"batch_size": 16, "image_size": 32, "training": True, "label_mode": "categorical"}
    whole = read(flowers.batches(**arguments, augmentation=augmentation.ClassificationAugmentation(), epochs=(0, 2)))
    assert len(whole) == 6 and whole[0][0].shape == (16, 32, 32, 3) and whole[0][0].dtype == np.float32
    np.testing.assert_allclose(np.concatenate([labels.sum(-1) for _, labels in whole]), 1, rtol=1e-6)
    assert_same(
        read(flowers.batches(**arguments, augmentation=augmentation.ClassificationAugmentation(), epochs=(1, 2))),
        whole[3:],
    )
