"""Reads the images of a data set, and does without those that cannot be read."""

import logging
import threading
from collections.abc import Callable, Iterable
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
        self._damaged = set()  # indices of those that were replaced
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

    def images(self, samples: Any, convert: Callable, blank: tuple) -> Any:
        """Returns a `tf.data.Dataset` of the images of samples, read in parallel, in their order.

        Args:
            samples: A `tf.data.Dataset` of `(position, sample)`, samples as the source has them.
            convert: Function from what the source loads to a tuple of arrays.
            blank: Arrays `(H, W, ...)` that stand in for an unreadable image; the others are like them but for
                height and width.

        Returns:
            `(position, arrays, label, readable)`: the position of the sample, what `convert` returns, what the source
            knows as the label, and whether the image is readable.
        """
        import tensorflow as tf

        def read(*reference):
            arrays = self.read(reference, convert)
            return (*blank, False) if arrays is None else (*arrays, True)

        def load(position, sample):
            reference, label = self.source.parse(sample)
            arrays, readable = _call(read, reference, blank, tf.bool)
            return position, arrays, label, readable

        return samples.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def images_or_others(
        self, samples: Any, convert: Callable, blank: tuple, others: Callable[[int], Iterable[int]]
    ) -> Any:
        """Returns `(position, arrays, label)` for each sample, of a different image where one is unreadable.

        Args:
            samples: As for `images`, and so are the next two.
            convert: See above.
            blank: See above.
            others: Function from the index of an unreadable image to the indices that may come instead, in order: the
                first that is readable does.
        """
        import tensorflow as tf

        def read(index, label, *reference):
            *arrays, label = self._read_or_other(int(index), reference, label, convert, others)
            return (*arrays, np.int64(label))

        def load(position, sample):
            reference, label = self.source.parse(sample)
            label = tf.cast(label, tf.int64)
            arrays, label = _call(read, (self.source.index(sample), label, *reference), blank, tf.int64)
            return position, arrays, label

        return samples.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _read_or_other(self, index, reference, label, convert, others):
        arrays = self.read(reference, convert)
        if arrays is not None:
            return *arrays, label
        self._damaged.add(index)
        for other in others(index):
            if other not in self._damaged:
                reference, label = self.source.find(other)
                arrays = self.read(reference, convert)
                if arrays is not None:
                    return *arrays, label
                self._damaged.add(other)
        raise ValueError("No image is readable any more; the warnings above say why.")

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


def following(indices: np.ndarray) -> Callable[[int], np.ndarray]:
    """Returns a function from one of these indices to the others: those that follow it, then those from the beginning.

    Example:
    ```python
    following(np.array([5, 0, 3]))(0)  # 3, 5
    ```
    """

    def others(index):
        return np.roll(indices, -int(np.flatnonzero(indices == index)[0]))[1:]

    return others


def _call(read, arguments, blank, dtype):
    """Returns in a pipeline the arrays that a Python function returns, shaped like `blank`, and its last value."""
    import tensorflow as tf

    *arrays, value = tf.numpy_function(read, arguments, [*(array.dtype for array in blank), dtype])
    arrays = [tf.ensure_shape(array, (None, None, *like.shape[2:])) for array, like in zip(arrays, blank, strict=True)]
    return tuple(arrays), tf.ensure_shape(value, ())
