"""The loss of a segmentation head."""

from keras import ops


def counted_pixels(labels, num_classes, ignore_index=255):
    """Returns which pixels count, boolean: those of a class from 0 to `num_classes - 1` that is not ignored."""
    in_range = ops.logical_and(labels >= 0, labels < num_classes)
    return ops.logical_and(in_range, labels != ignore_index)


def cross_entropy(logits, labels, ignore_index=255):
    """Mean cross entropy over the pixels that count.

    `loss = sum over counted pixels of (logsumexp(logits) - logits[label]) / (number of counted pixels)`, as
    PyTorch's `CrossEntropyLoss(ignore_index=255)`. (mmsegmentation divides by the number of all pixels.)

    Args:
        logits: `(B, H, W, C)`.
        labels: `(B, H, W)`, integers; `ignore_index` and what is no class does not count.
        ignore_index: Label of pixels that do not count.

    Returns:
        The loss, a float32 scalar; 0 if no pixel counts.
    """
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "int32")
    counted = counted_pixels(labels, logits.shape[-1], ignore_index)
    own = ops.take_along_axis(logits, ops.where(counted, labels, 0)[..., None], axis=-1)[..., 0]  # (B, H, W)
    entropy = ops.where(counted, ops.logsumexp(logits, axis=-1) - own, 0.0)
    return ops.sum(entropy) / ops.maximum(ops.sum(ops.cast(counted, "float32")), 1.0)
