"""A folder of three classes whose images are known by their grey, and what tests read of its batches."""

import numpy as np
import tensorflow as tf
from PIL import Image

SIZES = {"apple": 5, "banana": 6, "cherry": 2}  # images of each class
LABELS = [0] * 5 + [1] * 6 + [2] * 2
SMALL = {"batch_size": 4, "image_size": 2}


class Shift:
    """Stands in for the real one: adds a random number below 1 to an image, mixes a batch by a random weight."""

    def __init__(self, mixing=True):
        self.mixing = mixing

    def image_transform(self, image_size):
        def transform(image, seed):
            resized = tf.image.resize(tf.cast(image, tf.float32), (image_size, image_size))
            return resized + tf.random.stateless_uniform((), seed)

        return transform

    def batch_transform(self):
        def mix(images, labels, seed):
            weight = tf.random.stateless_uniform((), seed)
            return [weight * value + (1 - weight) * value[::-1] for value in (images, labels)]

        return mix if self.mixing else None


def write_folder(folder, damaged=()):
    """Writes image `i`, counted over the classes, in the grey `10 * i`; returns the paths."""
    paths = []
    for name, size in SIZES.items():
        (folder / name).mkdir(parents=True)
        for _ in range(size):
            path = folder / name / f"{len(paths):02}.png"
            Image.new("RGB", (6, 4), (10 * len(paths),) * 3).save(path)
            if len(paths) in damaged:
                path.write_bytes(path.read_bytes()[:40])
            paths.append(str(path))
    return paths


def read(batches):
    """Returns the arrays of all batches."""
    return [tuple(batch) for batch in batches.as_numpy_iterator()]


def numbers(batches):
    """Returns the numbers of the images in each batch."""
    return [(images[:, 0, 0, 0] // 10).astype(int).tolist() for images, *_ in batches.as_numpy_iterator()]


def flat(batches):
    """Returns the numbers of the images in all batches."""
    return [number for batch in numbers(batches) for number in batch]


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for array, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)
