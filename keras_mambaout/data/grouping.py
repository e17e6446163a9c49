"""An epoch in which all images of a batch are of one group, planned before an image is read."""

from collections.abc import Callable
from typing import Any

import numpy as np


def share_out(counts: np.ndarray, steps: int, random: np.random.Generator) -> np.ndarray:
    """Returns how many of an epoch's batches each group gets: its share of them, rounded up or down at random.

    `batches_g = floor(x_1 + ... + x_g + u) - floor(x_1 + ... + x_{g-1} + u)` with the share
    `x_g = steps * counts_g / sum(counts)`, and `u` uniform in `[0, 1)`. So there are `steps` in sum, and over the
    epochs the images of small groups come as often as those of large ones.

    Args:
        counts: Images of each group, `(G,)`.
        steps: Batches of all groups together.
        random: Where `u` comes from.
    """
    ends = np.cumsum([0, *counts])
    return np.diff((steps * ends + random.integers(ends[-1])) // ends[-1])


def in_groups(samples: Any, group_of: Callable, batches: Any, batch_size: int) -> Any:
    """Returns `(group, sample)` in an order in which each `batch_size` that follow one another are of one group.

    A batch comes when it is full. Samples of a group that fill no batch are left out; where a group has fewer than its
    batches take, its first ones come again.

    Args:
        samples: A `tf.data.Dataset` of an epoch.
        group_of: Function from a sample to the number of its group, an int64 tensor.
        batches: Batches of each group, an int64 tensor `(G,)`.
        batch_size: Samples of a batch.
    """
    import tensorflow as tf

    wanted = batches * batch_size

    def count(seen, sample):
        group = group_of(sample)
        return tf.tensor_scatter_nd_add(seen, [[group]], [tf.constant(1, tf.int64)]), (group, seen[group], sample)

    counted = samples.repeat().scan(tf.zeros_like(wanted), count)
    chosen = counted.filter(lambda group, number, sample: number < wanted[group])
    chosen = chosen.take(tf.reduce_sum(wanted))  # what follows reads ahead, and would look for more without an end
    grouped = chosen.group_by_window(lambda group, *_: group, lambda _, window: window, batch_size)
    return grouped.map(lambda group, number, sample: (group, sample))
