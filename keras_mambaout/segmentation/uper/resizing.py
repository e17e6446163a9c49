"""Resizes feature maps and logits as PyTorch does."""

from collections.abc import Sequence
from typing import Any

from keras import ops


def resize_bilinear(inputs: Any, size: Sequence[Any]) -> Any:
    """Resizes by interpolation between the nearest two rows and columns, without antialiasing.

    Row `i` of the result is at `y = max((i + 0.5) * H / H' - 0.5, 0)` of the input: a mean of the rows `floor(y)` and
    `floor(y) + 1`, weighted by how near they are. This is PyTorch's `interpolate(mode="bilinear",
    align_corners=False)`. It is `keras.ops.image.resize` where sizes are known; that function raises an error where
    they are not, which are images of any size on TensorFlow.

    Args:
        inputs: `(B, H, W, C)`, floats; `H` and `W` may be unknown.
        size: Height and width `(H', W')`, integers, or tensors where they are unknown.

    Returns:
        `(B, H', W', C)`.

    Example:
    ```python
    resize_bilinear(keras.ops.ones((1, 8, 6, 3)), (31, 24)).shape  # (1, 31, 24, 3)
    ```

    Source: [PyTorch's interpolate](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html)
    """
    size, old = tuple(size), tuple(ops.shape(inputs)[1:3])
    if all(isinstance(side, int) for side in (*size, *old)):
        if size == old:
            return inputs
        return ops.image.resize(inputs, size, interpolation="bilinear", antialias=False, data_format="channels_last")
    for axis in (1, 2):
        inputs = _interpolate(inputs, old[axis - 1], size[axis - 1], axis)
    return inputs


def _interpolate(x, old, new, axis):
    """Resizes one axis of `(B, H, W, C)` from `old` to `new`."""
    old_side, new_side = (ops.cast(side, "float32") if ops.is_tensor(side) else side for side in (old, new))
    scale = old_side / new_side
    place = ops.maximum((ops.arange(new, dtype="float32") + 0.5) * scale - 0.5, 0.0)
    low = ops.cast(place, "int32")
    high = ops.where(low < old - 1, low + 1, low)
    share = ops.cast(place - ops.cast(low, "float32"), x.dtype)
    share = ops.reshape(share, (-1, 1, 1) if axis == 1 else (-1, 1))
    return ops.take(x, low, axis=axis) * (1 - share) + ops.take(x, high, axis=axis) * share
