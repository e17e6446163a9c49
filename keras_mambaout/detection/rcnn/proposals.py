"""From the first stage's output to proposals for the second."""

from keras import ops

from keras_mambaout.detection.boxes import clip_boxes
from keras_mambaout.detection.non_max_suppression import non_max_suppression
from keras_mambaout.detection.rcnn.box_coder import decode_boxes
from keras_mambaout.detection.rows import gather, top_rows

IOU_THRESHOLD = 0.7


def select_proposals(anchors, logits, deltas, sizes, count, training):
    """Selects the proposals of each image.

    Of each level the best `count` anchors (in training twice as many) are decoded and clipped to the image, those
    that overlap a better one of their level by an IoU of more than 0.7 fall out, and the best of all levels
    are left.

    Args:
        anchors: List of `(A_l, 4)`, a level each.
        logits: List of `(B, A_l)`.
        deltas: List of `(B, A_l, 4)`.
        sizes: `(B, 2)`, float32: heights and widths of the images.
        count: How many are left.
        training: Whether for training.

    Returns:
        Boxes `(B, P, 4)` as `"xyxy"`, by descending score; a boolean `(B, P)`, false for padding; and the anchors
        that they come from, `(B, P)`, counted over all levels. `P` is `count`, or less where there are fewer anchors.
        No gradient goes through.

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
