"""Reads the images of a data set, and leaves out those that cannot be read."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)


class LabelError(ValueError):
    """Labels that are wrong: an error, where an unreadable image is left out."""


class ImageReader:
    """Reads the images of a source, and remembers those that cannot be read.

    Args:
        source: `ImageFiles`, `TfdsRecords` or a subclass of one.
    """

    def __init__(self, source: Any) -> None:
        self.source, self.unreadable = source, set()
        self._lock = threading.Lock()

    def read(self, reference: tuple, convert: Callable) -> Any:
        """Returns `convert` of what the source loads, or `None` for an unreadable image."""
        try:
            return convert(self.source.load(*reference))
        except LabelError:
            raise
        except Exception as error:  # of any type: in a data pipeline it would end the training
            self._leave_out(self.source.name(*reference), error)
            return None

    def _leave_out(self, name, error):
        with self._lock:
            known = name in self.unreadable
            self.unreadable.add(name)
        if not known:
            named = isinstance(error, ValueError) and repr(name) in str(error)
            reason = error if named else f"{name!r} is not a readable image, it may be damaged: {error!r}"
            logger.warning("%s; it is left out.", str(reason).removesuffix("."))

    def images(
        self, indices: np.ndarray, shard: tuple[int, int], convert: Callable, blank: tuple, seed: Any = None
    ) -> Any:
        """Returns a `tf.data.Dataset` of the images of a shard, in order or, with a seed, shuffled.

        Args:
            indices: Which images of the source, in order.
            shard: `(index, count)`.
            convert: Function from what the source loads to a tuple of arrays.
            blank: Arrays `(H, W, ...)` that stand in for an unreadable image; the others are like them but for
                height and width.
            seed: An int64 tensor `(2,)`.

        Returns:
            `(position, arrays, label, readable)`: the position among the images of all shards, what `convert`
            returns, what the source knows as the label, and whether the image is readable.
        """
        import tensorflow as tf

        index, count = shard

        def read(*reference):
            arrays = self.read(reference, convert)
            return (*blank, False) if arrays is None else (*arrays, True)

        def load(position, sample):
            reference, label = self.source.parse(sample)
            *arrays, readable = tf.numpy_function(read, reference, [*(array.dtype for array in blank), tf.bool])
            arrays = tuple(
                tf.ensure_shape(array, (None, None, *like.shape[2:])) for array, like in zip(arrays, blank, strict=True)
            )
            return position, arrays, label, tf.ensure_shape(readable, ())

        samples = self.source.samples(indices, seed).enumerate().shard(count, index)
        return samples.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def check(self, indices: np.ndarray) -> None:
        """Raises an error unless one of these images is readable, and labelled."""
        samples = self.source.samples(indices).enumerate().map(lambda _, sample: self.source.parse(sample))
        for reference, label in samples.as_numpy_iterator():
            if label < 0:
                raise ValueError(
                    "The images have no labels (-1): this split is for predictions only, use a different one."
                )
            if self.read(reference, lambda loaded: loaded) is not None:
                return
        raise ValueError(none_readable(len(indices)))


def none_readable(count: int) -> str:
    """Returns what is said where all images would be left out."""
    return f"None of the {count} images is readable; the warnings above say why."
