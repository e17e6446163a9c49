"""Labels that are drawn from a fixed seed: valid for their task, the same in every process, learned from nothing."""

from collections.abc import Sequence

import keras
import numpy as np

OBJECTS = 4  # in each image
MASK_SIZE = 28
IGNORED = 0.1  # share of pixels that do not count


def draw_boxes(image_shape: Sequence[int]) -> np.ndarray:
    """Returns boxes `(B, 4, 4)` as `"xyxy"` that lie inside images `(B, H, W, C)`."""
    rng = np.random.default_rng(0)
    batch, height, width = image_shape[:3]
    size = np.array([width, height])
    sides = rng.uniform(0.2, 0.7, (batch, OBJECTS, 2)) * size
    corners = rng.uniform(0, 1, (batch, OBJECTS, 2)) * (size - sides)
    return np.concatenate([corners, corners + sides], axis=-1).astype("float32")


def draw_objects(image_shape: Sequence[int], num_classes: int, bounding_box_format: str) -> dict[str, np.ndarray]:
    """Returns a detector's labels for images `(B, H, W, C)`: the boxes of `draw_boxes`, and their classes."""
    boxes = keras.utils.bounding_boxes.convert_format(
        draw_boxes(image_shape),
        source="xyxy",
        target=bounding_box_format,
        height=image_shape[1],
        width=image_shape[2],
    )
    classes = np.random.default_rng(1).integers(0, num_classes, (image_shape[0], OBJECTS)).astype("float32")
    return {"boxes": keras.ops.convert_to_numpy(boxes), "classes": classes}


def draw_masks(image_shape: Sequence[int]) -> np.ndarray:
    """Returns masks `(B, 4, 28, 28)`, 0 or 1, in the frames of the boxes of `draw_boxes`."""
    return np.random.default_rng(2).integers(0, 2, (image_shape[0], OBJECTS, MASK_SIZE, MASK_SIZE)).astype("uint8")


def draw_label_maps(image_shape: Sequence[int], num_classes: int, ignore_index: int) -> np.ndarray:
    """Returns the class of each pixel of images `(B, H, W, C)`; a tenth of the pixels does not count."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, image_shape[:3])
    return np.where(rng.uniform(size=labels.shape) < IGNORED, ignore_index, labels).astype("int32")
