"""The contract of the data sets of all tasks."""

import copy
import hashlib
import operator
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.data.batches import BatchPlan
from keras_mambaout.data.reader import ImageReader, none_readable
from keras_mambaout.extras import import_tensorflow


class ImageDataset:
    """Images with labels: what the data sets of all tasks have in common.

    Images that are not there, that cannot be read, or that are not of the size that their labels were made for, are
    left out, in training for the next one: each is named once in a warning, and all in `unreadable`. Wrong labels are
    errors.

    A subclass adds `batches(batch_size, *, training=False, seed=0, epochs=None, first_step=0, shard=(0, 1),
    ...)`, which begins with `_plan`, and `_example`; `_identity` if its source does not know the labels.

    Args:
        source: `ImageFiles`, `TfdsRecords` or a subclass of one.
        class_names: Name of each class.
    """

    _trainable = "images"  # what an epoch of training consists of

    def __init__(self, source: Any, class_names: Iterable[str]) -> None:
        self._source, self._class_names = source, list(class_names)
        self._indices = np.arange(len(source))
        self._reader = ImageReader(source)

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def class_names(self) -> list[str]:
        """Name of each class."""
        return list(self._class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self._class_names)

    @property
    def unreadable(self) -> list[str]:
        """Names of the unreadable images met so far by this process, sorted: paths, or ids of TensorFlow Datasets."""
        return sorted(self._reader.unreadable)

    def subset(self, indices: Iterable[int]) -> Self:
        """Returns the data set of these images only, in this order.

        Args:
            indices: Positions of images, one or more, each once.

        Raises:
            ValueError: If there are none, one comes twice, or one is not from 0 to `len(dataset) - 1`.
        """
        indices = [self._check_index(index) for index in indices]
        if not indices or len(set(indices)) < len(indices):
            raise ValueError(f"A subset needs one image or more, each once, got {len(indices)} indices.")
        part = copy.copy(self)
        part._indices, part._reader = self._indices[indices], ImageReader(self._source)
        return part

    def load(self, index: int) -> tuple[np.ndarray, Any]:
        """Returns an image, RGB, uint8 `(H, W, 3)`, and its labels.

        Raises:
            ValueError: If `index` is not from 0 to `len(dataset) - 1`, or the image is unreadable.
        """
        reference, label = self._source.find(self._place(index))
        return self._example(self._source.load(*reference), label)

    def examples(self, shard: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, tuple[np.ndarray, Any]]]:
        """Yields the index of each readable image, in order, and what `load` returns for it.

        Args:
            shard: `(index, count)`, for several processes: every `count`-th image, from `index`.

        Raises:
            ValueError: At the end, if no image is readable; not for one of several shards, as others may have some.
        """
        readable = shard[1] > 1
        for index in range(shard[0], len(self), shard[1]):
            reference, label = self._source.find(int(self._indices[index]))
            loaded = self._reader.read(reference, lambda loaded: loaded)
            if loaded is not None:
                readable = True
                yield index, self._example(loaded, label)
        if not readable:
            raise ValueError(none_readable(len(self)))

    def digest(self) -> str:
        """Returns a number, as text, for the names of the images, their order and their labels; no file is read.

        Of labels the classes and boxes count, not masks and label maps.
        """
        names = hashlib.sha256()
        for place in self._indices.tolist():
            names.update(repr(self._identity(place)).encode())
        return names.hexdigest()[:16]

    def _identity(self, place):
        """Returns what makes an image of the source the one that it is: a tuple of what `repr` shows whole."""
        return self._source.identity(place)

    def _example(self, loaded, label):
        """Returns an image and its labels, from what the source loads and what it knows as the label."""
        raise NotImplementedError

    def steps_per_epoch(self, batch_size: int, training: bool = True) -> int:
        """Returns the number of batches of an epoch, in training without the incomplete last one.

        Raises:
            ValueError: If `batch_size` is no positive integer, or there are fewer images to train on.
        """
        check_positive_integer("batch_size", batch_size)
        count = len(self._training_indices()) if training else len(self)
        if training and count < batch_size:
            raise ValueError(
                f"{count} {self._trainable} are not one batch of {batch_size}. Use a smaller `batch_size` or more "
                "images."
            )
        return count // batch_size if training else -(-count // batch_size)

    def _training_indices(self):
        """Returns which images of the source are trained on."""
        return self._indices

    def _place(self, index):
        """Returns the position in the source of an image of this data set."""
        return int(self._indices[self._check_index(index)])

    def _check_index(self, index):
        try:
            number = operator.index(index)
        except TypeError:
            number = -1
        if not 0 <= number < len(self):
            raise ValueError(f"An index of this data set must be an integer from 0 to {len(self) - 1}, got {index!r}.")
        return number

    def _plan(self, batch_size, training, seed, epochs, first_step, shard):
        """Returns the arguments that `batches` of all data sets share, checked."""
        import_tensorflow()
        steps = self.steps_per_epoch(batch_size, training)
        _check_shard(shard, batch_size)
        _check_epochs(epochs, training)
        _check_first_step(first_step, epochs, steps)
        if not _is_integer(seed) or not 0 <= seed < 2**63:
            raise ValueError(f"`seed` must be an integer from 0 to 2^63 - 1, got {seed!r}.")
        indices = self._training_indices() if training else self._indices
        epochs = None if epochs is None else tuple(epochs)
        return BatchPlan(self._reader, indices, batch_size, steps, seed, epochs, first_step, tuple(shard))


def check_full(full: Any, training: bool) -> None:
    """Checks whether batches may be filled up with images that do not count, which those for training are not."""
    if not isinstance(full, bool):
        raise ValueError(f"`full` must be True or False, got {full!r}.")
    if full and training:
        raise ValueError("`full` is not for training, whose batches are full of images that count: leave it out.")


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value):
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_integer, value))


def _check_shard(shard, batch_size):
    if not _is_pair(shard) or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"`shard` must be (index, count) with 0 <= index < count, got {shard!r}.")
    if batch_size % shard[1]:
        raise ValueError(
            f"`batch_size` is that of all shards together and must be a multiple of their number {shard[1]}, got "
            f"{batch_size}."
        )


def _check_epochs(epochs, training):
    if epochs is not None and not training:
        raise ValueError(f"`epochs` are for training: use `training=True`, or leave them out, got {epochs!r}.")
    if epochs is not None and (not _is_pair(epochs) or not 0 <= epochs[0] < epochs[1]):
        raise ValueError(f"`epochs` must be None or (first, stop) with 0 <= first < stop, got {epochs!r}.")


def _check_first_step(first_step, epochs, steps):
    if first_step == 0 and _is_integer(first_step):
        return
    if epochs is None:
        raise ValueError(f"`first_step` is that of the first of `epochs`: give those too, got {first_step!r} alone.")
    if not _is_integer(first_step) or not 0 <= first_step < steps:
        raise ValueError(
            f"`first_step` must be an integer from 0 to {steps - 1}, of an epoch's {steps}, got {first_step!r}."
        )
