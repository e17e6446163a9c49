"""Checks the labels that a user gives to a detector, before they disappear in a compiled step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.models.label_checks import LabelRule

CLASS_KEYS = ("classes", "labels")  # KerasCV's name and KerasHub's


def class_key(labels: Any) -> str:
    """Returns the key under which `labels` has the classes."""
    keys = [key for key in CLASS_KEYS if key in labels] if isinstance(labels, dict) else []
    if not keys or "boxes" not in labels:
        given = f"a dict with {sorted(labels)}" if isinstance(labels, dict) else type(labels).__name__
        raise ValueError(
            "A detector's labels must be a dict with 'boxes' (B, N, 4) and 'classes' (B, N), padded with -1 "
            f"where an image has fewer than N objects; got {given}."
        )
    return keys[0]


def check_labels(labels: Any, num_classes: int, masks: bool = False) -> Any:
    """Checks a batch of labels and returns it.

    Args:
        labels: Dict of `"boxes"` `(B, N, 4)` and `"classes"` or `"labels"` `(B, N)`, arrays; rows of -1
            are padding.
        num_classes: Number of classes.
        masks: Whether `"masks"` `(B, N, M, M)` are needed too.

    Raises:
        ValueError: If a key is missing, shapes do not match, a number is not finite, or a class is not
            an integer from 0 to `num_classes - 1` (or -1, padding).
    """
    key = class_key(labels)
    boxes, classes = np.asarray(labels["boxes"]), np.asarray(labels[key])
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or classes.shape != boxes.shape[:2]:
        raise ValueError(
            f"Labels must have 'boxes' (B, N, 4) and {key!r} (B, N), got shapes {boxes.shape} and {classes.shape}. "
            "Pad images with fewer objects with rows of -1."
        )
    if not (np.isfinite(boxes).all() and np.isfinite(classes).all()):
        raise ValueError("'boxes' and classes must be finite numbers, got NaN or infinity among them.")
    wrong = np.unique(classes[(classes < -1) | (classes >= num_classes) | (classes != np.round(classes))])
    if wrong.size:
        raise ValueError(
            f"Classes must be integers from 0 to {num_classes - 1} (-1 is padding) with num_classes={num_classes}, "
            f"got {', '.join(f'{value:g}' for value in wrong[:5])}. COCO's category ids have gaps and begin at 1: "
            "map them to 0, 1, 2, ... (CocoDataset does)."
        )
    if masks:
        check_masks(labels, classes.shape)
    return labels


def check_masks(labels: Any, rows: Sequence[int | None]) -> None:
    """Checks that labels have masks `(B, N, M, M)` for boxes of shape `rows`, `(B, N)`; only shapes are checked."""
    shape = tuple(getattr(labels["masks"], "shape", ())) if "masks" in labels else None
    if shape is None or len(shape) != 4 or shape[1] != rows[1] or shape[2] != shape[3]:
        raise ValueError(
            f"Labels must have 'masks' (B, {rows[1]}, M, M), each in the frame of its box, got "
            f"{'none' if shape is None else f'shape {shape}'}. `CocoDataset.batches(masks=True, mask_size=112)` "
            "makes them, `keras_mambaout.detection.crop_masks` cuts them out of masks of whole images."
        )


class ObjectLabels(LabelRule):
    """Labels of a detector, as `check_labels` describes them."""

    def __init__(self, num_classes: int, masks: bool = False):
        self.num_classes, self.masks = num_classes, masks

    def check(self, labels: Any) -> None:
        check_labels(labels, self.num_classes)

    def check_shapes(self, images: Any, labels: Any) -> None:
        key = class_key(labels)
        if self.masks:
            check_masks(labels, labels[key].shape)

    def looked_at(self, labels: Any) -> dict[str, Any]:
        key = class_key(labels)
        return {"boxes": labels["boxes"], key: labels[key]}
