"""Cuts features of a fixed size out of feature maps, for boxes of any size."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mambaout.layers import kernels

MIN_LEVEL = 2  # stride 4
CANONICAL_LEVEL, CANONICAL_SIZE = 4, 224  # a box of 224 x 224 pixels is on level 4, of stride 16


def roi_align(feature: Any, boxes: Any, stride: int, output_size: int, sampling_ratio: int = 2) -> Any:
    """Averages bilinear samples of a feature map over the cells of a grid laid over each box.

    Each box is divided into `S x S` cells, and each cell has `r x r` points: a cell is the mean of the feature
    at its points, interpolated between the centres of the four pixels around each. Points more than one pixel
    outside the feature map count as zero.

    Args:
        feature: `(B, H, W, C)`.
        boxes: `(B, R, 4)` as `"xyxy"` in pixels of the image.
        stride: Pixels of the image per pixel of the feature map.
        output_size: `S`.
        sampling_ratio: `r`. Detectron2's adaptive ratio is not offered: shapes would depend on the boxes.

    Returns:
        `(B, R, S, S, C)`. No gradient flows to the boxes.

    Example:
    ```python
    roi_align(features, [[[8.0, 8.0, 120.0, 64.0]]], stride=16, output_size=7).shape  # (1, 1, 7, 7, 256)
    ```

    Source: [He et al., Mask R-CNN](https://arxiv.org/abs/1703.06870), section 3;
    [torchvision.ops.roi_align](https://docs.pytorch.org/vision/stable/generated/torchvision.ops.roi_align.html)
    with `aligned=True`
    """
    boxes = ops.convert_to_tensor(boxes, "float32")
    levels = ops.zeros(ops.shape(boxes)[:2], "int32")
    return _align([feature], [stride], boxes, levels, output_size, sampling_ratio)


def multiscale_roi_align(features: Sequence[Any], boxes: Any, output_size: int, sampling_ratio: int = 2) -> Any:
    """`roi_align` of each box on the level of a feature pyramid that fits its size.

    Args:
        features: List of `(B, H_l, W_l, C)` of the levels 2, 3, ..., of strides 4, 8, ...
        boxes: `(B, R, 4)` as `"xyxy"` in pixels of the image.
        output_size: See `roi_align`.
        sampling_ratio: See `roi_align`.

    Returns:
        `(B, R, S, S, C)`.
    """
    boxes = ops.convert_to_tensor(boxes, "float32")
    levels = assign_levels(boxes, max_level=MIN_LEVEL + len(features) - 1) - MIN_LEVEL
    strides = [2 ** (MIN_LEVEL + level) for level in range(len(features))]
    return _align(features, strides, boxes, levels, output_size, sampling_ratio)


def assign_levels(boxes: Any, min_level: int = MIN_LEVEL, max_level: int = 5) -> Any:
    """Returns the level of the feature pyramid that the features of a box come from.

    `level = floor(4 + log2(sqrt(w * h) / 224))`, at least `min_level` and at most `max_level`.

    Args:
        boxes: `(B, R, 4)` as `"xyxy"` in pixels.
        min_level: The finest level.
        max_level: The coarsest level.

    Returns:
        `(B, R)`, int32.

    Source: [Lin et al., Feature pyramid networks](https://arxiv.org/abs/1612.03144), equation 1
    """
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    size = ops.sqrt(sides[..., 0] * sides[..., 1])
    smallest = CANONICAL_SIZE * 2.0 ** (min_level - CANONICAL_LEVEL)  # anything below is on the finest level too
    level = ops.floor(CANONICAL_LEVEL + ops.log2(ops.maximum(size, smallest) / CANONICAL_SIZE) + 1e-6)
    return ops.cast(ops.clip(level, min_level, max_level), "int32")


def _align(features, strides, boxes, levels, output_size, ratio):
    """Gathers from all levels at once: their pixels are put one after the other."""
    boxes = ops.stop_gradient(boxes)
    shapes = [ops.shape(feature)[1:3] for feature in features]
    starts = [sum(math.prod(shape) for shape in shapes[:level]) for level in range(len(shapes))]
    batch, channels = ops.shape(features[0])[0], features[0].shape[-1]
    pixels = ops.concatenate([ops.reshape(feature, (batch, -1, channels)) for feature in features], axis=1)

    height, width, start = (
        ops.take(ops.stack([ops.cast(n, "int32") for n in numbers]), levels, axis=0)[..., None, None]
        for numbers in (*zip(*shapes, strict=True), starts)
    )  # (B, R, 1, 1)
    scale = ops.take(ops.convert_to_tensor([1 / stride for stride in strides], "float32"), levels, axis=0)
    left, top, right, bottom = ops.unstack(boxes * scale[..., None] - 0.5, axis=-1)  # (B, R)
    y, y_weights = _taps(top, bottom, height, output_size, ratio)  # (B, R, S, 2r)
    x, x_weights = _taps(left, right, width, output_size, ratio)

    rows = start + y * width
    indices = rows[:, :, :, None, :, None] + x[:, :, None, :, None, :]  # (B, R, S, S, 2r, 2r)
    weights = y_weights[:, :, :, None, :, None] * x_weights[:, :, None, :, None, :]
    cells = (*ops.shape(indices)[:4], (2 * ratio) ** 2)
    return kernels.weighted_rows(pixels, ops.reshape(indices, cells), ops.reshape(weights, cells))


def _taps(low, high, limit, output_size, ratio):
    """Returns, along one axis, the pixels that each cell is a weighted sum of, two for each of its points.

    `low` and `high` are `(B, R)`; `limit`, the number of pixels, is `(B, R, 1, 1)`. Returns the pixels and their
    weights, both `(B, R, S, 2r)`.
    """
    steps = (ops.arange(output_size * ratio, dtype="float32") + 0.5) / (output_size * ratio)
    points = low[..., None] + (high - low)[..., None] * steps  # (B, R, S * r)
    points = ops.reshape(points, (*ops.shape(low), output_size, ratio))
    last = ops.cast(limit, "float32") - 1.0
    inside = ops.logical_and(points >= -1.0, points <= last + 1.0)
    points = ops.clip(points, 0.0, last)
    below = ops.floor(points)
    fraction = points - below
    weights = ops.stack([1.0 - fraction, fraction], axis=-1) * ops.cast(inside, "float32")[..., None] / ratio
    pixels = ops.stack([below, below + 1.0], axis=-1)  # (B, R, S, r, 2)
    flat = (*ops.shape(low), output_size, 2 * ratio)
    pixels = ops.clip(ops.cast(ops.reshape(pixels, flat), "int32"), 0, limit - 1)  # in range for NaN too
    return pixels, ops.reshape(weights, flat)
