"""Image files that a data set finds by index."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.data.decoding import decode_image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


class ImageFiles:
    """A source of images: files in an order. The folders of all tasks are subclasses.

    Another source, `data.tfds.TfdsRecords`, has the same methods. A sample is what `samples` yields; a reference
    is what `load` and `name` take.

    Args:
        paths: Path of each image.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def samples(self, indices: np.ndarray, seed: Any = None) -> Any:
        """Returns a `tf.data.Dataset` of the images at these indices, in this order or shuffled.

        The shuffled order is a function of `seed`, an int64 tensor `(2,)`.
        """
        import tensorflow as tf

        order = tf.constant(indices, tf.int64)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        return tf.data.Dataset.from_tensor_slices(order)

    def index(self, sample: Any) -> Any:
        """Returns the index of a sample, a tensor."""
        return sample

    def parse(self, sample: Any) -> tuple[tuple, Any]:
        """Returns the reference of a sample, a tuple of tensors, and its label, here its index."""
        return (sample,), sample

    def find(self, index: int) -> tuple[tuple, int]:
        """Returns the reference of the image at an index, and its label."""
        return (index,), index

    def identity(self, index: int) -> tuple:
        """Returns the name of an image, wherever its folder is, and its label if the source knows it."""
        return (os.path.basename(self.paths[index]),)

    def load(self, index: int) -> Any:
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        return decode_image(self.paths[index])

    def name(self, index: int) -> str:
        """Returns what an image is called in messages: its path."""
        return self.paths[index]


def check_folder(folder: str | os.PathLike, what: str = "folder") -> str:
    """Returns the path of a folder that exists; `what` it is called in the error."""
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise ValueError(f"There is no {what} {folder!r} (working directory {os.getcwd()!r}).")
    return folder
