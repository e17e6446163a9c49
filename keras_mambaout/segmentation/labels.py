"""Checks the label maps that a user gives to `fit`, before they disappear in a compiled step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.models.label_checks import LabelRule


def check_label_maps(labels: Any, num_classes: int, ignore_index: int = 255) -> Any:
    """Checks a batch of label maps and returns it.

    Args:
        labels: `(B, H, W)`, integers.
        num_classes: Number of classes.
        ignore_index: Label of pixels that do not count.

    Raises:
        ValueError: If it is not such an array, or has values other than 0 to `num_classes - 1` and `ignore_index`.
    """
    shape, dtype = getattr(labels, "shape", None), str(getattr(labels, "dtype", type(labels).__name__))
    if shape is None or len(shape) != 3 or "int" not in dtype:
        hint = " Leave out the last axis: labels[..., 0]." if shape is not None and tuple(shape[3:]) == (1,) else ""
        given = dtype if shape is None else f"{dtype} of shape {tuple(shape)}"
        raise ValueError(f"Labels must be integers (B, H, W), the class of each pixel, got {given}.{hint}")
    values = np.asarray(labels)
    wrong = np.unique(values[((values < 0) | (values >= num_classes)) & (values != ignore_index)])
    if wrong.size:
        raise ValueError(
            f"Labels must be classes from 0 to {num_classes - 1} with num_classes={num_classes}, or {ignore_index} for "
            f"pixels that do not count; got {', '.join(map(str, wrong[:5]))}. ADE20K's files have classes from 1 "
            "and 0 for no class: SegmentationDataset maps them."
        )
    return labels


def check_same_size(images: Sequence[int | None], labels: Sequence[int | None]) -> None:
    """Checks, given both shapes, that label maps are as large as images; unknown sizes pass."""
    for own, wanted in zip(labels[1:3], images[1:3], strict=True):
        if None not in (own, wanted) and own != wanted:
            raise ValueError(
                f"Labels must be as large as the images, {tuple(images[1:3])}, got {tuple(labels[1:3])}. Resize them "
                "like the images, but by nearest neighbour: classes cannot be averaged."
            )


class LabelMaps(LabelRule):
    """Labels of a segmentation model, as `check_label_maps` describes them."""

    def __init__(self, num_classes: int, ignore_index: int = 255):
        self.num_classes, self.ignore_index = num_classes, ignore_index

    def check(self, labels: Any) -> None:
        check_label_maps(labels, self.num_classes, self.ignore_index)

    def check_shapes(self, images: Any, labels: Any) -> None:
        images, labels = (getattr(values, "shape", ()) for values in (images, labels))
        if len(images) == 4 and len(labels) == 3:  # otherwise `check` raises an error
            check_same_size(tuple(images), tuple(labels))
