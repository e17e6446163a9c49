"""The loss of semantic segmentation."""

from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.replicas import shared_count


def counted_pixels(labels: Any, num_classes: int, ignore_index: int = 255) -> Any:
    """Returns which pixels count, boolean: those of a class from 0 to `num_classes - 1` that is not ignored."""
    in_range = ops.logical_and(labels >= 0, labels < num_classes)
    return ops.logical_and(in_range, labels != ignore_index)


def cross_entropy(logits: Any, labels: Any, ignore_index: int = 255) -> Any:
    """Mean cross entropy over the pixels that count.

    `loss = sum over counted pixels of (logsumexp(logits) - logits[label]) / (number of counted pixels)`, as
    PyTorch's `CrossEntropyLoss(ignore_index=255)`. (mmsegmentation divides by the number of all pixels.)

    Args:
        logits: `(B, H, W, C)`.
        labels: `(B, H, W)`, integers; pixels with `ignore_index` or another value that is no class do not count.
        ignore_index: Label of pixels that do not count.

    Returns:
        The loss, a float32 scalar; 0 if no pixel counts. Where several devices share a batch, the pixels of all
        count, and the mean of what they return is the loss of the whole batch.
    """
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "int32")
    logits, labels = ops.reshape(logits, (-1, logits.shape[-1])), ops.reshape(labels, (-1,))  # for Keras on PyTorch
    counted = counted_pixels(labels, logits.shape[-1], ignore_index)  # (B * H * W,)
    labels = ops.where(counted, labels, 0)
    entropy = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return ops.sum(ops.where(counted, entropy, 0.0)) / shared_count(counted)
