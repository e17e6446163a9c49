"""Averages over a fixed number of parts of a feature map of any size."""

from typing import Any

from keras import ops


def adaptive_average_pool(inputs: Any, size: int) -> Any:
    """Divides a feature map into `size` times `size` parts and returns the mean of each.

    Part `i` of a side `H` has the rows `floor(i * H / size), ..., ceil((i + 1) * H / size) - 1`: parts overlap
    by a row where `H` is not a multiple of `size`, and repeat rows where it is smaller. This is PyTorch's
    `adaptive_avg_pool2d`. `keras.ops.adaptive_average_pool` is not used, since it needs sizes that are known when a
    model is traced, and on TensorFlow images of any size have unknown ones.

    Args:
        inputs: `(B, H, W, C)`, floats; `H` and `W` may be unknown.
        size: Number of parts of each side, a positive integer.

    Returns:
        `(B, size, size, C)`, with the dtype of the inputs; means are computed in float32.

    Example:
    ```python
    adaptive_average_pool(keras.ops.ones((1, 15, 10, 3)), 6).shape  # (1, 6, 6, 3)
    ```

    Source: [PyTorch's AdaptiveAvgPool2d](https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html)
    """
    x = ops.cast(inputs, "float32")
    height, width = ops.shape(x)[1:3]
    if isinstance(height, int) and isinstance(width, int):
        x = ops.stack([ops.mean(x[:, start:stop], axis=1) for start, stop in _parts(height, size)], axis=1)
        x = ops.stack([ops.mean(x[:, :, start:stop], axis=2) for start, stop in _parts(width, size)], axis=2)
    else:  # unknown when the graph is made
        x = ops.einsum("ph,bhwc->bpwc", _shares(height, size), x)
        x = ops.einsum("qw,bpwc->bpqc", _shares(width, size), x)
    return ops.cast(x, inputs.dtype)  # (B, size, size, C)


def _parts(side, size):
    """Returns where each part of a side begins and ends."""
    return [(part * side // size, ((part + 1) * side + size - 1) // size) for part in range(size)]


def _shares(side, size):
    """Returns the share of each pixel of a side in the mean of each part, `(size, side)`."""
    part, pixel = ops.arange(size, dtype="int32")[:, None], ops.arange(side, dtype="int32")[None]
    begins, ends = part * side // size, ((part + 1) * side + size - 1) // size
    inside = ops.cast(ops.logical_and(pixel >= begins, pixel < ends), "float32")
    return inside / ops.sum(inside, axis=1, keepdims=True)
