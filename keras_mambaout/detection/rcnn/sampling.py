"""Draws a fixed number of anchors or proposals to learn from, at random."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mambaout.detection.rows import top_rows

# Of Murmur3's finalizer, and Knuth's multiplier, as 32-bit two's complements: products wrap on every backend
MULTIPLIERS = (-2048144789, -1028477387)
GOLDEN = -1640531527


def draw_priorities(shape: Sequence[Any], seed: Any, image_ids: Any = None) -> Any:
    """Returns random numbers in [0, 1) that depend only on the seed, the image and the candidate.

    They are the same on every backend, unlike those of `keras.random`, so that losses can be compared, and any
    number of them is computed at once without a state.

    Args:
        shape: Shape of the result, images first; integers or scalar tensors.
        seed: `(2,)` integers, such as `keras.random.SeedGenerator.next()`.
        image_ids: `(B,)`, integers that name the images, so that it does not matter which device has which of them,
            for a shape `(B, N)`. `None` counts them, from 0 on each device.

    Returns:
        float32 tensor; values are multiples of 2^-24.

    Source: [Appleby, MurmurHash3](https://github.com/aappleby/smhasher/wiki/MurmurHash3), its finalizer
    """
    seed = ops.cast(seed, "int32")
    if image_ids is None:
        numbers = ops.arange(shape[0] * math.prod(shape[1:]), dtype="int32") * GOLDEN  # (count,)
    else:
        images = _scramble(ops.cast(image_ids, "int32") * GOLDEN)[:, None]  # (B, 1)
        numbers = ops.bitwise_xor(images, ops.arange(shape[1], dtype="int32") * GOLDEN)  # (B, N)
    for part in (seed[0], seed[1]):
        numbers = _scramble(ops.bitwise_xor(numbers, part))
    numbers = ops.cast(ops.bitwise_and(numbers, 0xFFFFFF), "float32") / 2**24
    return ops.reshape(numbers, shape)


def _scramble(numbers):
    for shift, multiplier in zip((16, 13), MULTIPLIERS, strict=True):
        numbers = ops.bitwise_xor(numbers, _shift_right(numbers, shift)) * multiplier
    return ops.bitwise_xor(numbers, _shift_right(numbers, 16))


def _shift_right(numbers, count):
    """Shifts in zeros; `ops.right_shift` of signed integers would repeat the sign."""
    return ops.bitwise_and(ops.right_shift(numbers, count), 2 ** (32 - count) - 1)


def sample(positive: Any, negative: Any, count: int, positive_fraction: float, priorities: Any) -> tuple[Any, Any, Any]:
    """Draws candidates to learn from.

    Args:
        positive: Boolean `(B, N)`.
        negative: Boolean `(B, N)`; a candidate that is neither is never drawn.
        count: How many are drawn.
        positive_fraction: Largest fraction of positive candidates; negative ones fill the rest.
        priorities: `(B, N)` random numbers; the candidates with the highest are drawn.

    Returns:
        `indices` `(B, count)`, and `is_positive` and `is_valid`, booleans `(B, count)`: positive candidates first,
        then negative ones, then rows that are not valid if there were too few.
    """
    most = int(count * positive_fraction)
    positive_keys, positive_rows = top_rows(ops.where(positive, priorities, -1.0), most)
    negative_keys, negative_rows = top_rows(ops.where(negative, priorities, -1.0), count)
    keys = ops.concatenate([positive_keys, negative_keys], axis=1)  # (B, most + count)
    rows = ops.concatenate([positive_rows, negative_rows], axis=1)
    first = ops.arange(keys.shape[1]) < positive_keys.shape[1]
    order = ops.where(keys < 0, 0.0, ops.where(first, 2.0, 1.0))  # positive, negative, not valid
    order, chosen = ops.top_k(order + keys / 2, min(count, keys.shape[1]))
    missing = ((0, 0), (0, count - order.shape[1]))
    order, chosen = ops.pad(order, missing), ops.pad(chosen, missing)
    return ops.take_along_axis(rows, chosen, axis=1), order >= 2.0, order >= 1.0
