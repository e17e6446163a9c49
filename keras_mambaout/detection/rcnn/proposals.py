"""Turns the output of the first stage into proposals for the second."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mambaout.detection.boxes import clip_boxes
from keras_mambaout.detection.non_max_suppression import non_max_suppression
from keras_mambaout.detection.rcnn.box_coder import decode_boxes
from keras_mambaout.detection.rows import gather, top_rows

IOU_THRESHOLD = 0.7


def select_proposals(
    anchors: Sequence[Any], logits: Sequence[Any], deltas: Sequence[Any], sizes: Any, count: int, training: bool
) -> tuple[Any, Any, Any]:
    """Selects the proposals of each image.

    On each level, the best `count` anchors (in training twice as many) are decoded and clipped to the image, and
    those that overlap a better one of their level by an IoU of more than 0.7 are dropped. Of what remains on all
    levels, the best `count` are returned.

    Args:
        anchors: List of `(A_l, 4)`, one for each level.
        logits: List of `(B, A_l)`.
        deltas: List of `(B, A_l, 4)`.
        sizes: `(B, 2)`, float32: heights and widths of the images.
        count: Number of proposals.
        training: Whether they are for training.

    Returns:
        Boxes `(B, P, 4)` as `"xyxy"`, by descending score; a boolean `(B, P)`, false for padding; and the indices
        `(B, P)` of the anchors that they come from, counted over all levels. `P` is `count`, or less if there are
        fewer anchors. No gradient flows through them.

    Source: [Lin et al., Feature pyramid networks](https://arxiv.org/abs/1612.03144), section 4.1
    """
    candidates = 2 * count if training else count
    boxes, scores, origins, first = [], [], [], 0
    for level in zip(anchors, logits, deltas, strict=True):
        level_anchors, level_logits, level_deltas = (ops.cast(ops.stop_gradient(part), "float32") for part in level)
        level_scores, rows = top_rows(ops.sigmoid(level_logits), candidates)  # (B, K)
        level_boxes = decode_boxes(gather(level_deltas, rows), ops.take(level_anchors, rows, axis=0))
        level_boxes, has_area = clip_boxes(level_boxes, "xyxy", (sizes[:, :1], sizes[:, 1:]))
        level_scores = ops.where(has_area, level_scores, -1.0)
        keep = non_max_suppression(level_boxes, level_scores, None, IOU_THRESHOLD)
        boxes.append(level_boxes)
        scores.append(ops.where(keep, level_scores, -1.0))
        origins.append(ops.cast(rows, "int32") + first)
        first = first + ops.shape(level_anchors)[0]
    boxes, scores, origins = (ops.concatenate(parts, axis=1) for parts in (boxes, scores, origins))
    scores, rows = top_rows(scores, count)
    return gather(boxes, rows), scores > 0.0, gather(origins, rows)
