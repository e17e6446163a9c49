"""Boxes as offsets from anchors or proposals, which is what the heads learn."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

MAX_LOG_SCALE = math.log(1000 / 16)  # a box is at most 62.5 times as large as its anchor
PROPOSAL_DEVIATIONS = (1.0, 1.0, 1.0, 1.0)
BOX_DEVIATIONS = (0.1, 0.1, 0.2, 0.2)  # of the second stage, whose proposals are already close


def encode_boxes(boxes: Any, anchors: Any, deviations: Sequence[float] = PROPOSAL_DEVIATIONS) -> Any:
    """Returns the deltas that a head must predict to turn `anchors` into `boxes`.

    `dx = (x - x_a) / w_a / deviations[0]`, `dw = log(w / w_a) / deviations[2]`, with centres `x`; `dy` and
    `dh` likewise.

    Args:
        boxes: `(..., 4)` as `"xyxy"`.
        anchors: `(..., 4)` as `"xyxy"`.
        deviations: `dx, dy, dw, dh` are divided by these numbers, which are about their standard deviations.

    Returns:
        `(..., 4)`: dx, dy, dw, dh. Sides below 1e-7 pixels count as 1e-7.

    Source: [Girshick et al., R-CNN](https://arxiv.org/abs/1311.2524), appendix C
    """
    return keras.utils.bounding_boxes.encode_box_to_deltas(
        anchors, boxes, "xyxy", "xyxy", encoding_format="center_xywh", variance=deviations
    )


def decode_boxes(deltas: Any, anchors: Any, deviations: Sequence[float] = PROPOSAL_DEVIATIONS) -> Any:
    """Inverts `encode_boxes`; `dw` and `dh` are limited to log(1000 / 16), so that nothing overflows."""
    limits = [math.inf, math.inf, MAX_LOG_SCALE / deviations[2], MAX_LOG_SCALE / deviations[3]]
    return keras.utils.bounding_boxes.decode_deltas_to_boxes(
        anchors,
        ops.minimum(deltas, ops.convert_to_tensor(limits, "float32")),
        "xyxy",
        "xyxy",
        encoded_format="center_xywh",
        variance=deviations,
    )
