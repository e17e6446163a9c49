"""Order and augmentation as a function of a seed and the number of an epoch."""

import itertools
from typing import Any

import numpy as np

ORDER, AUGMENT, MIX, RESIZE = range(4)  # what random numbers are drawn for


def random_seed(seed: int, *numbers: Any) -> Any:
    """Returns an int64 tensor `(2,)` that follows from a seed and from numbers; others give a different one."""
    import tensorflow as tf

    value = tf.constant([seed, 0], tf.int64)
    for number in numbers:
        value = tf.random.fold_in(value, tf.cast(number, tf.int64))
    return value


def next_number() -> Any:
    """Returns a `tf.data.Dataset` of one number: 0 when it is first read, then 1, 2, ..."""
    import tensorflow as tf

    numbers = itertools.count()
    read = tf.data.Dataset.from_tensors(0)
    read = read.map(lambda _: tf.numpy_function(lambda: np.int64(next(numbers)), [], tf.int64))
    return read.map(lambda number: tf.ensure_shape(number, ()))
