"""Which object an anchor or a proposal is to find, if any.

KerasHub's `BoxMatcher` is not used: for a row of padding among the objects it makes the first anchor a
positive one, it gives an object one best anchor where several are equally good, and its one-hot tables
take as much memory again as the overlaps.
"""

import keras
from keras import ops

PROPOSAL_THRESHOLDS = (0.3, 0.7)  # IoU of anchors: below is background, from the second on an object
BOX_THRESHOLD = 0.5  # IoU of proposals
ROUNDING = 1e-5  # equally good anchors differ by less, on each backend otherwise


def match_anchors(anchors, boxes, is_object):
    """Matches anchors with objects.

    An anchor is positive if its highest IoU is 0.7 or more, or if no anchor overlaps one of the objects
    more than it does and that IoU is 0.3 or more; negative if its highest IoU is below 0.3 and it is not
    positive.

    Args:
        anchors: `(A, 4)` as `"xyxy"`.
        boxes: `(B, N, 4)` as `"xyxy"`.
        is_object: `(B, N)`, false for padding.

    Returns:
        `positive` and `negative`, booleans `(B, A)`, and `index` `(B, A)`: the object of the highest IoU.
        One image after the other, so that only one has its A x N overlaps in memory.

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


def match_proposals(proposals, boxes, is_object):
    """Matches proposals `(B, R, 4)` with objects as `match_anchors` does, by an IoU of 0.5 alone."""
    overlap = _overlap(proposals, boxes, is_object)  # (B, R, N)
    highest, index = ops.max(overlap, axis=2), ops.argmax(overlap, axis=2)
    return highest >= BOX_THRESHOLD, highest < BOX_THRESHOLD, ops.cast(index, "int32")


def _overlap(candidates, boxes, is_object):
    """IoU `(..., R, N)`, -1 with what is no object."""
    overlap = keras.utils.bounding_boxes.compute_iou(candidates, boxes, "xyxy")
    return ops.where(is_object[..., None, :], overlap, -1.0)
