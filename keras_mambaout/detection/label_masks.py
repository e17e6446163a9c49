"""Masks of objects, from COCO's polygons and run lengths, over whole images or in the frames of their boxes."""

from typing import Any

import numpy as np
from PIL import Image

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.detection.segmentation_checks import LONGEST, outlines
from keras_mambaout.extras import import_extra

FAR = 10  # in sides of the grid: points of polygons that lie further out are moved there
TINY = 1e-100  # the least side of a box that a mask is drawn in


def draw_masks(segmentations: list, size: tuple[int, int], resized: tuple[int, int]) -> np.ndarray:
    """Draws masks at the size of the resized image.

    Polygons are resized before they are drawn, run lengths after they are decoded.

    Args:
        segmentations: List of polygons (`[[x, y, x, y, ...], ...]`) or run lengths (a dict with
            `counts` and `size`), in pixels of the original image.
        size: `(H, W)` of the original image.
        resized: `(h, w)` of the resized image.

    Returns:
        Array `(n, h, w)`, uint8, 1 inside the object.
    """
    masks = [_draw(segmentation, size, resized) for segmentation in segmentations]
    return np.stack(masks) if masks else np.zeros((0, *resized), "uint8")


def draw_box_masks(segmentations: list, boxes: np.ndarray, size: tuple[int, int], mask_size: int) -> np.ndarray:
    """Draws masks in the frames of their boxes.

    Polygons are moved into the frame before they are drawn, `(x - left) * M / width`, so that no mask
    is ever as large as the image; run lengths are decoded and cropped one at a time.

    Args:
        segmentations: As for `draw_masks`.
        boxes: `(n, 4)`, xyxy with area, in pixels of the original image.
        size: `(H, W)` of the original image.
        mask_size: The side `M` of the masks.

    Returns:
        Array `(n, M, M)`, uint8, as `crop_masks` has it.
    """
    masks = np.zeros((len(boxes), mask_size, mask_size), "uint8")
    for row, (segmentation, box) in enumerate(zip(segmentations, boxes, strict=True)):
        scale = mask_size / np.maximum(box[2:] - box[:2], TINY)
        polygons = _polygons(segmentation, box[:2], scale, masks.shape[1:])
        if polygons is None:
            masks[row] = crop_masks(_whole(segmentation, size)[None], box[None], mask_size)[0]
        else:
            masks[row] = _fill(polygons, masks.shape[1:])
    return masks


def crop_masks(masks: Any, boxes: Any, mask_size: int) -> np.ndarray:
    """Brings masks of whole images into the frames of their boxes, as labels of Mask R-CNN have them.

    `crop[i, j] = mask[floor(top + (i + 0.5) * height / M), floor(left + (j + 0.5) * width / M)]`: a cell
    has the value of the pixel that its centre lies in.

    Args:
        masks: `(N, H, W)`, true or above 0 inside the object.
        boxes: `(N, 4)` as `"xyxy"` in pixels of the image.
        mask_size: The side `M` of the result; 112 keeps what a head of 28 x 28 can learn.

    Returns:
        Array `(N, M, M)`, uint8, 1 inside the object; 0 where a box is outside of the image or has no
        area.

    Raises:
        ValueError: If shapes do not fit, or `mask_size` is not a positive integer.

    Example:
    ```python
    labels = {"boxes": boxes, "classes": classes, "masks": crop_masks(masks, boxes, 112)}
    ```
    """
    check_positive_integer("mask_size", mask_size)
    masks, boxes = np.asarray(masks), np.asarray(boxes, "float64")
    if masks.ndim != 3 or boxes.shape != (len(masks), 4):
        raise ValueError(f"`masks` must be (N, H, W) and `boxes` (N, 4), got shapes {masks.shape} and {boxes.shape}.")
    crops = np.zeros((len(masks), mask_size, mask_size), "uint8")
    centers = (np.arange(mask_size) + 0.5) / mask_size
    for crop, mask, (left, top, right, bottom) in zip(crops, masks, boxes, strict=True):
        if right > left and bottom > top:
            rows, row_inside = _pixels(top + centers * (bottom - top), mask.shape[0])
            columns, column_inside = _pixels(left + centers * (right - left), mask.shape[1])
            crop[:] = (mask[np.ix_(rows, columns)] > 0) & row_inside[:, None] & column_inside
    return crops


def _pixels(places, length):
    """Returns the pixels that coordinates lie in, and which of them are pixels of the image."""
    return np.clip(np.floor(places), 0, length - 1).astype(int), (places >= 0) & (places < length)


def _draw(segmentation, size, resized):
    polygons = _polygons(segmentation, (0, 0), np.divide(resized, size)[::-1], resized)
    if polygons is not None:
        return _fill(polygons, resized)
    mask = Image.fromarray(_whole(segmentation, size))
    return np.asarray(mask.resize(resized[::-1], Image.Resampling.NEAREST))


def _whole(segmentation, size):
    """Returns the mask of a whole image."""
    if isinstance(segmentation, list):
        return _fill(segmentation, size)
    coder = import_extra("pycocotools.mask")
    return coder.decode(
        coder.frPyObjects(segmentation, *size) if isinstance(segmentation["counts"], list) else segmentation
    )


def _polygons(segmentation, origin, scale, shape):
    """Returns polygons on a grid of `shape` that begins at `origin` and has `scale` cells per pixel, in x and y.

    Returns `None` for run lengths, and for polygons whose outline would be too long on this grid.
    """
    if isinstance(segmentation, dict):
        return None
    limits = np.array(shape[::-1])
    polygons = [(np.reshape(points, (-1, 2)) - origin) * scale for points in segmentation]
    polygons = [np.clip(points, -FAR * limits, FAR * limits) for points in polygons]
    too_long = any(outlines(points, np.array([len(points)]))[0] > LONGEST for points in polygons)
    return None if too_long else [points.ravel().tolist() for points in polygons]


def _fill(polygons, shape):
    """Draws polygons on a grid."""
    coder = import_extra("pycocotools.mask")
    return coder.decode(coder.merge(coder.frPyObjects(polygons, *shape)))
