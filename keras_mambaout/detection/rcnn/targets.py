"""The targets of the heads of Mask R-CNN, for sampled anchors and proposals."""

from typing import Any

from keras import ops

from keras_mambaout.detection.rcnn.box_coder import BOX_DEVIATIONS, encode_boxes
from keras_mambaout.detection.rcnn.matching import match_anchors, match_proposals
from keras_mambaout.detection.rcnn.roi_align import roi_align
from keras_mambaout.detection.rcnn.sampling import draw_priorities, sample
from keras_mambaout.detection.rows import gather

ANCHOR_SAMPLES, ANCHOR_POSITIVES = 256, 0.5
BOX_POSITIVES = 0.25
MASK_SIZE = 28


def proposal_targets(
    anchors: Any, boxes: Any, is_object: Any, sizes: Any, seed: Any, image_ids: Any = None
) -> tuple[Any, Any, Any, Any]:
    """Draws 256 anchors for each image, at most half of them positive.

    Args:
        anchors: `(A, 4)` as `"xyxy"`.
        boxes: `(B, N, 4)` as `"xyxy"`.
        is_object: `(B, N)`, false for padding.
        sizes: `(B, 2)` heights and widths of the images; anchors centred in the padding are not drawn as negatives.
        seed: `(2,)` integers.
        image_ids: As for `draw_priorities`.

    Returns:
        `indices` `(B, 256)` of anchors, `targets` `(B, 256, 4)`, `is_positive` and `is_valid` `(B, 256)`.
    """
    positive, negative, index = match_anchors(anchors, boxes, is_object)  # (B, A)
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    inside = ops.all(centers[None] < ops.flip(sizes, axis=-1)[:, None], axis=-1)
    priorities = draw_priorities(ops.shape(index), seed, image_ids)
    indices, is_positive, is_valid = sample(
        positive, ops.logical_and(negative, inside), ANCHOR_SAMPLES, ANCHOR_POSITIVES, priorities
    )
    objects = gather(boxes, gather(index, indices))  # (B, 256, 4)
    return indices, encode_boxes(objects, ops.take(anchors, indices, axis=0)), is_positive, is_valid


def box_targets(
    proposals: Any,
    is_proposal: Any,
    origins: Any,
    num_anchors: Any,
    boxes: Any,
    classes: Any,
    is_object: Any,
    count: int,
    seed: Any,
    image_ids: Any = None,
) -> dict[str, Any]:
    """Draws `count` proposals for each image, at most a quarter of them positive.

    The boxes of the objects are candidates as well.

    Args:
        proposals: `(B, P, 4)` as `"xyxy"`.
        is_proposal: `(B, P)`, false for padding.
        origins: `(B, P)`, the anchors that they come from. Random numbers belong to anchors, not to ranks, so that
            different rounding of scores on another backend does not change all samples.
        num_anchors: Number of anchors.
        boxes: `(B, N, 4)` as `"xyxy"`.
        classes: `(B, N)`.
        is_object: `(B, N)`, false for padding.
        count: Number of samples.
        seed: `(2,)` integers.
        image_ids: As for `draw_priorities`.

    Returns:
        A dict of `"boxes"` `(B, count, 4)`, the samples, positive ones first; `"objects"` and `"classes"`, the
        indices of their objects and their classes; `"targets"` `(B, count, 4)`; `"is_positive"` and `"is_valid"`.
    """
    candidates = ops.concatenate([boxes, proposals], axis=1)
    allowed = ops.concatenate([is_object, is_proposal], axis=1)
    objects = ops.broadcast_to(ops.arange(boxes.shape[1], dtype="int32"), ops.shape(is_object))
    names = ops.concatenate([objects, origins + boxes.shape[1]], axis=1)
    priorities = draw_priorities((ops.shape(names)[0], boxes.shape[1] + num_anchors), seed, image_ids)
    priorities = gather(priorities, names)
    positive, negative, index = match_proposals(candidates, boxes, is_object)
    indices, is_positive, is_valid = sample(
        ops.logical_and(positive, allowed),
        ops.logical_and(negative, allowed),
        count,
        BOX_POSITIVES,
        priorities,
    )
    drawn, objects = gather(candidates, indices), gather(index, indices)
    return {
        "boxes": drawn,
        "objects": objects,
        "classes": ops.cast(gather(classes, objects), "int32"),
        "targets": encode_boxes(gather(boxes, objects), drawn, BOX_DEVIATIONS),
        "is_positive": is_positive,
        "is_valid": is_valid,
    }


def mask_targets(masks: Any, mask_boxes: Any, samples: dict[str, Any], size: int = MASK_SIZE) -> Any:
    """Cuts the targets of the mask head out of the masks of the objects.

    Args:
        masks: `(B, N, M, M)`, 0 or 1, each in the frame of its box.
        mask_boxes: `(B, N, 4)`, these boxes, as `"xyxy"`.
        samples: As `box_targets` returns them; only the first quarter can be positive.
        size: Cells of a target.

    Returns:
        `(B, P, size, size)`, the fraction of each cell that the object covers, for the `P` samples of that quarter.
        Their masks take more memory: 6 MB per image with `M = 112` and 128 samples.
    """
    count = int(samples["boxes"].shape[1] * BOX_POSITIVES)
    boxes, objects = samples["boxes"][:, :count], samples["objects"][:, :count]
    resolution = masks.shape[-1]
    frames = gather(mask_boxes, objects)  # (B, P, 4)
    origin = ops.concatenate([frames[..., :2]] * 2, axis=-1)
    sides = ops.maximum(frames[..., 2:] - frames[..., :2], 1e-3)
    inside = (boxes - origin) / ops.concatenate([sides] * 2, axis=-1) * resolution  # in cells of the mask
    chosen = ops.reshape(gather(masks, objects), (-1, resolution, resolution, 1))  # (B * P, M, M, 1)
    chosen = ops.cast(chosen, "float32")
    ratio = max(1, resolution // size)
    targets = roi_align(chosen, ops.reshape(inside, (-1, 1, 4)), 1, size, ratio)  # (B * P, 1, size, size, 1)
    return ops.reshape(targets, (-1, count, size, size))
