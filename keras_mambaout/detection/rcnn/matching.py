"""Decides which object, if any, an anchor or a proposal should find.

KerasHub's `BoxMatcher` is not used: for padding among the objects, it makes the first anchor
positive, it gives an object only one best anchor if several are equally good, and its one-hot tables
take as much memory again as the overlaps.
"""

from typing import Any

from keras import ops

from keras_mambaout.detection.boxes import pairwise_iou

PROPOSAL_THRESHOLDS = (0.3, 0.7)  # IoU of anchors: background below the first, an object from the second on
BOX_THRESHOLD = 0.5  # IoU of proposals
ROUNDING = 1e-5  # equally good anchors differ by less than this, differently on each backend


def match_anchors(anchors: Any, boxes: Any, is_object: Any) -> tuple[Any, Any, Any]:
    """Matches anchors to objects.

    An anchor is positive if its highest IoU is at least 0.7, or if no other anchor has a higher IoU with one of
    the objects and that IoU is at least 0.3. It is negative if its highest IoU is below 0.3 and it is not positive.

    Args:
        anchors: `(A, 4)` as `"xyxy"`.
        boxes: `(B, N, 4)` as `"xyxy"`.
        is_object: `(B, N)`, false for padding.

    Returns:
        `positive` and `negative`, booleans `(B, A)`, and `index` `(B, A)`: the object with the highest IoU.
        Images are processed one after the other, so that only one has its A x N overlaps in memory.

    Source: [Ren et al., Faster R-CNN](https://arxiv.org/abs/1506.01497), section 3.1.2
    """
    low, high = PROPOSAL_THRESHOLDS

    def match(image):
        overlap = _overlap(anchors, *image)  # (A, N)
        highest, index = ops.max(overlap, axis=1), ops.argmax(overlap, axis=1)
        best = ops.max(overlap, axis=0)  # (N,)
        one_of_the_best = ops.logical_and(overlap >= best - ROUNDING, best >= low)
        positive = ops.logical_or(highest >= high, ops.any(one_of_the_best, axis=1))
        return positive, ops.logical_and(highest < low, ops.logical_not(positive)), ops.cast(index, "int32")

    return ops.map(match, (boxes, is_object))


def match_proposals(proposals: Any, boxes: Any, is_object: Any) -> tuple[Any, Any, Any]:
    """Matches proposals `(B, R, 4)` to objects as `match_anchors` does, but only by an IoU of 0.5."""
    overlap = _overlap(proposals, boxes, is_object)  # (B, R, N)
    highest, index = ops.max(overlap, axis=2), ops.argmax(overlap, axis=2)
    return highest >= BOX_THRESHOLD, highest < BOX_THRESHOLD, ops.cast(index, "int32")


def _overlap(candidates, boxes, is_object):
    """Returns the IoU `(..., R, N)`, -1 for rows of padding."""
    overlap = pairwise_iou(candidates, boxes)
    return ops.where(is_object[..., None, :], overlap, -1.0)
