"""Boxes of detectors: overlap, clipping to the image, and rows without a box."""

from typing import Any

import keras
from keras import ops

EPSILON = 1e-7  # square pixels, against division by zero


def pairwise_iou(boxes: Any, others: Any) -> Any:
    """Returns the intersection over union of each box with each other one.

    Keras' `compute_iou` is not used: it has eight tables of the result's size in memory at once, this four.

    Args:
        boxes: `(..., N, 4)` as `"xyxy"`.
        others: `(..., M, 4)` as `"xyxy"`.

    Returns:
        `(..., N, M)`, from 0 to 1.
    """
    boxes, others = ops.moveaxis(boxes, -1, 0)[..., None], ops.moveaxis(others, -1, 0)[..., None, :]

    def shared(low, high):
        side = ops.minimum(boxes[high], others[high]) - ops.maximum(boxes[low], others[low])
        return ops.maximum(side, 0.0)

    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (ops.unstack(boxes), ops.unstack(others))]
    shared_area = shared(0, 2) * shared(1, 3)
    return shared_area / (areas[0] + areas[1] - shared_area + EPSILON)


def clip_boxes(boxes: Any, bounding_box_format: str, size: Any) -> tuple[Any, Any]:
    """Clips boxes to the image.

    Args:
        boxes: `(..., 4)` in `bounding_box_format`.
        bounding_box_format: One of `BOX_FORMATS`.
        size: `(H, W)` of the image in pixels; numbers, or tensors `(B, 1)` for boxes `(B, N, 4)`.

    Returns:
        The boxes as `"xyxy"` in pixels, clipped to the image, and a boolean tensor `(...)`: whether
        any area is left. It is false for padding (rows of -1) and for numbers that are not finite.
    """
    boxes = _convert(boxes, bounding_box_format, "xyxy", size)
    height, width = (ops.cast(side, "float32") for side in size)
    left, top, right, bottom = ops.unstack(boxes, axis=-1)
    left, right = (ops.clip(x, 0.0, width) for x in (left, right))
    top, bottom = (ops.clip(y, 0.0, height) for y in (top, bottom))
    return ops.stack([left, top, right, bottom], axis=-1), ops.logical_and(right > left, bottom > top)


def clean_labels(
    boxes: Any, classes: Any, num_classes: int, bounding_box_format: str, size: Any, model_size: Any
) -> tuple[Any, Any]:
    """Makes labels safe to train on: rows that are not objects can neither match nor give NaN.

    A row is an object if its box has area inside the image and its class is in `[0, num_classes)`.
    Its box is clipped to the image. Any other row, including padding, becomes a box of one pixel outside
    the image with class -1: it overlaps nothing, and unlike -1s it can be encoded in every format.

    Args:
        boxes: `(B, N, 4)` in `bounding_box_format`.
        classes: `(B, N)`.
        num_classes: Number of classes.
        bounding_box_format: One of `BOX_FORMATS`.
        size: `(H, W)` of the images; numbers, or tensors `(B, 1)`.
        model_size: `(H, W)` of the images as the model pads them, at the bottom and the right.

    Returns:
        Boxes `(B, N, 4)` in `bounding_box_format` of the padded image and classes `(B, N)`.
    """
    boxes, has_area = clip_boxes(ops.cast(boxes, "float32"), bounding_box_format, size)
    classes = ops.cast(classes, "float32")
    known = ops.logical_and(classes >= 0, classes < num_classes)
    is_object = ops.logical_and(has_area, known)
    height, width = (ops.cast(side, "float32") for side in model_size)
    outside = ops.stack([width, height, width + 1, height + 1])
    boxes = ops.where(is_object[..., None], boxes, outside)
    return _convert(boxes, "xyxy", bounding_box_format, model_size), ops.where(is_object, classes, -1.0)


def restore_detections(
    detections: dict[str, Any], bounding_box_format: str, size: Any, model_size: Any
) -> dict[str, Any]:
    """Converts detections on padded images to detections on the images.

    Boxes are clipped to the image; detections that lie entirely in the padding are removed.

    Args:
        detections: Dict of `"boxes"` `(B, N, 4)` in `bounding_box_format` of the padded image,
            `"confidence"` and classes `(B, N)` by descending confidence, and `"num_detections"` `(B,)`.
        bounding_box_format: One of `BOX_FORMATS`.
        size: `(H, W)` of the images.
        model_size: `(H, W)` of the padded images.

    Returns:
        The same kind of dict, with boxes in `bounding_box_format` of the image and -1 in rows without a detection.
    """
    detections = dict(detections)
    rows, counts = ops.arange(detections["boxes"].shape[1]), detections.pop("num_detections")
    boxes = _convert(detections.pop("boxes"), bounding_box_format, "xyxy", model_size)
    boxes, has_area = clip_boxes(boxes, "xyxy", size)
    boxes = _convert(boxes, "xyxy", bounding_box_format, size)
    is_detection = ops.logical_and(rows[None] < ops.cast(counts, rows.dtype)[:, None], has_area)

    confidence = ops.where(is_detection, detections.pop("confidence"), -1.0)
    confidence, order = ops.top_k(confidence, confidence.shape[1])  # detections first
    found = confidence >= 0
    boxes = ops.take_along_axis(boxes, order[..., None], axis=1)
    classes = {name: ops.take_along_axis(values, order, axis=1) for name, values in detections.items()}
    return {
        "boxes": ops.where(found[..., None], boxes, -1.0),
        "confidence": confidence,
        **{name: ops.where(found, values, -1.0) for name, values in classes.items()},
        "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
    }


def _convert(boxes, source, target, size):
    height, width = (ops.cast(side, "float32") for side in size)
    return keras.utils.bounding_boxes.convert_format(boxes, source=source, target=target, height=height, width=width)
