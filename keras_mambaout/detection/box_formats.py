"""The ways in which detectors write a box."""

from typing import Any

import numpy as np

BOX_FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh")


def check_box_format(name: Any) -> str:
    """Returns `name` if it is one of `BOX_FORMATS`, those that Keras, KerasCV and KerasHub share."""
    if name not in BOX_FORMATS:
        raise ValueError(f"`bounding_box_format` must be one of {', '.join(map(repr, BOX_FORMATS))}, got {name!r}.")
    return name


def box_format_of(model: Any) -> str:
    """Returns the box format of a detector, or raises a `ValueError` if `model` is not a detector."""
    name = getattr(model, "bounding_box_format", None)
    if name is None:
        raise ValueError(
            f"{type(model).__name__} has no attribute `bounding_box_format`, so it is not a detector. Give a model "
            f"whose `predict_on_batch` returns boxes, and set it to one of {', '.join(map(repr, BOX_FORMATS))}."
        )
    return check_box_format(name)


def to_corners(boxes: np.ndarray, bounding_box_format: str, size: tuple[int, int]) -> np.ndarray:
    """Returns boxes `(..., 4)` as `"xyxy"` in pixels of an image of height and width `size`.

    Keras' `convert_format` does the same with the backend, which an exported model does without.
    """
    name = bounding_box_format.removeprefix("rel_")
    first, second, third, fourth = np.moveaxis(np.asarray(boxes, "float32"), -1, 0)
    x, y = (second, first) if name in ("yxyx", "center_yxhw") else (first, second)
    width, height = (fourth, third) if name in ("yxyx", "center_yxhw") else (third, fourth)  # or the other corner
    if name.startswith("center"):
        x, y = x - width / 2, y - height / 2
    right, bottom = (width, height) if name in ("xyxy", "yxyx") else (x + width, y + height)
    corners = np.stack([x, y, right, bottom], axis=-1)
    return corners * np.array([*size[::-1]] * 2, "float32") if name != bounding_box_format else corners
