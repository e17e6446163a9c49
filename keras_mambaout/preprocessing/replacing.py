"""Parts of images that are replaced by others."""

from typing import Any

import keras


def replace(images: Any, others: Any, where: Any) -> Any:
    """Returns `others` where `where`, of images' dtype, is 1, `images` where it is 0, and in between a mixture.

    As `ops.where` for finite values and 0 and 1, in less time with TensorFlow on a CPU.
    """
    return where * others + (1.0 - where) * images


def random_boxes(layer: keras.layers.Layer, shape: Any, heights: Any, widths: Any, seed: Any) -> tuple[Any, Any]:
    """Returns one box an image, at a uniform place, as its rows `(B, H, 1, 1)` and its columns `(B, 1, W, C)`.

    Both are 1 inside and 0 outside: their product is the box.

    Args:
        layer: Has the backend, the data format and the dtype.
        shape: Of a batch of images.
        heights: Share of the image's height, `(B,)`.
        widths: Share of its width, `(B,)`.
        seed: A `keras.random.SeedGenerator`.
    """
    ops, found = layer.backend, []
    channels_last = layer.data_format == "channels_last"
    for axis, share in ((-3 if channels_last else -2, heights), (-2 if channels_last else -1, widths)):
        side = ops.cast(shape[axis], "float32")
        start = ops.random.uniform((shape[0],), dtype="float32", seed=seed) * (side - share * side)
        places = ops.numpy.arange(shape[axis], dtype="float32")
        inside = (places >= start[:, None]) & (places < (start + share * side)[:, None])
        alone = [shape[0], 1, 1, 1]
        alone[axis] = shape[axis]
        found.append(ops.numpy.reshape(ops.cast(inside, layer.compute_dtype), alone))
    rows, columns = found
    repeats = (1, 1, 1, shape[-1]) if channels_last else (1, shape[-3], 1, 1)
    return rows, ops.numpy.tile(columns, repeats)
