"""The five losses of Mask R-CNN, each over the samples of the whole batch.

Where several devices share a batch, the samples of all count: the mean of what they return is the loss of the batch.
"""

from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.replicas import shared_count


def proposal_losses(logits: Any, deltas: Any, targets: Any, is_positive: Any, is_valid: Any) -> tuple[Any, Any]:
    """Losses of the region proposal network over its sampled anchors.

    `objectness = sum of binary cross entropy / samples` and `box = sum over positives of |deltas - targets| /
    samples`.

    Args:
        logits: `(B, S)`, objectness.
        deltas: `(B, S, 4)`.
        targets: `(B, S, 4)`.
        is_positive: Boolean `(B, S)`.
        is_valid: Boolean `(B, S)`: whether it is a sample, positive or negative.

    Returns:
        The two losses, float32 scalars; 0 if there are no samples.
    """
    samples = shared_count(is_valid)
    entropy = _binary_cross_entropy(logits, ops.cast(is_positive, "float32"))
    objectness = ops.sum(ops.where(is_valid, entropy, 0.0)) / samples
    return objectness, _box_loss(deltas, targets, is_positive) / samples


def box_losses(
    logits: Any, deltas: Any, classes: Any, targets: Any, is_positive: Any, is_valid: Any
) -> tuple[Any, Any]:
    """Losses of the box head over its sampled proposals.

    `classification = sum of cross entropy / samples`, where negative samples belong to the last class,
    background; `box` as in `proposal_losses`, of the deltas of the object's class.

    Args:
        logits: `(B, S, C + 1)`.
        deltas: `(B, S, C, 4)`.
        classes: `(B, S)`, integers; only those of positive samples count.
        targets: `(B, S, 4)`.
        is_positive: Boolean `(B, S)`.
        is_valid: Boolean `(B, S)`.

    Returns:
        The two losses, float32 scalars; 0 if there are no samples.
    """
    samples, num_classes = shared_count(is_valid), deltas.shape[-2]
    labels = ops.where(is_positive, classes, num_classes)
    entropy = keras.losses.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)
    classification = ops.sum(ops.where(is_valid, entropy, 0.0)) / samples
    own = ops.one_hot(ops.where(is_positive, classes, 0), num_classes, dtype="float32")  # (B, S, C)
    deltas = ops.einsum("bscd,bsc->bsd", ops.cast(deltas, "float32"), own)
    return classification, _box_loss(deltas, targets, is_positive) / samples


def mask_loss(logits: Any, targets: Any, is_positive: Any) -> Any:
    """Binary cross entropy of the mask of the object's class, averaged over the pixels of all positive samples.

    Args:
        logits: `(B, S, M, M)`, of the object's class.
        targets: `(B, S, M, M)`, from 0 to 1: the fraction of a cell that the object covers.
        is_positive: Boolean `(B, S)`.

    Returns:
        The loss, a float32 scalar; 0 if there are no positive samples.
    """
    entropy = ops.mean(_binary_cross_entropy(logits, targets), axis=(-2, -1))  # (B, S)
    return ops.sum(ops.where(is_positive, entropy, 0.0)) / shared_count(is_positive)


def _box_loss(deltas, targets, is_positive):
    distance = ops.sum(ops.abs(ops.cast(deltas, "float32") - targets), axis=-1)
    return ops.sum(ops.where(is_positive, distance, 0.0))


def _binary_cross_entropy(logits, targets):
    return ops.binary_crossentropy(targets, ops.cast(logits, "float32"), from_logits=True)
