"""Anchors: the boxes that a region proposal network starts from.

KerasHub's `AnchorGenerator` is not used: it rounds anchors to whole pixels, spreads those of the
coarsest level over the image (800 rows at stride 64 are 13 cells, 61 pixels apart instead of 64), and
needs the image size as Python numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

ASPECT_RATIOS = (0.5, 1.0, 2.0)  # height / width
SCALE = 8  # side of a square anchor in cells


def make_anchors(
    height: Any, width: Any, stride: int, scale: float = SCALE, aspect_ratios: Sequence[float] = ASPECT_RATIOS
) -> Any:
    """Returns the anchors of one level of a feature pyramid.

    `w = scale * stride / sqrt(ratio)`, `h = scale * stride * sqrt(ratio)`, around
    `(column * stride, row * stride)`.

    Args:
        height: Rows of the level, an integer or a scalar tensor.
        width: Columns of the level.
        stride: Pixels between cells.
        scale: Side of a square anchor in cells.
        aspect_ratios: Heights divided by widths.

    Returns:
        `(height * width * len(aspect_ratios), 4)` as `"xyxy"` in pixels, row by row, then by ratio.

    Example:
    ```python
    make_anchors(200, 320, stride=4).shape  # (192000, 4)
    ```

    Source: [Ren et al., Faster R-CNN](https://arxiv.org/abs/1506.01497), section 3.1.1
    """
    roots = np.sqrt(aspect_ratios)
    sides = scale * stride * np.stack([1 / roots, roots], axis=-1)  # (ratios, 2), width and height
    shapes = ops.convert_to_tensor(np.concatenate([-sides, sides], axis=-1) / 2, "float32")  # (ratios, 4)
    rows, columns = (ops.arange(count, dtype="float32") * stride for count in (height, width))
    y, x = ops.meshgrid(rows, columns, indexing="ij")  # (height, width)
    centers = ops.stack([x, y, x, y], axis=-1)
    return ops.reshape(centers[:, :, None] + shapes, (-1, 4))
