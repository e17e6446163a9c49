"""Masks of objects, from COCO's polygons and run lengths."""

import numpy as np
from PIL import Image

from keras_mambaout.extras import import_extra


def draw_masks(segmentations, size, resized):
    """Draws masks at the size of the resized image.

    Polygons are resized before they are drawn, run lengths after they are decoded.

    Args:
        segmentations: List of polygons (`[[x, y, x, y, ...], ...]`) or run lengths (a dict with
            `counts` and `size`), in pixels of the original image.
        size: `(H, W)` of the original image.
        resized: `(h, w)` of the resized image.

    Returns:
        Array `(n, h, w)`, uint8, 1 inside of the object.
    """
    masks = [_draw(segmentation, size, resized) for segmentation in segmentations]
    return np.stack(masks) if masks else np.zeros((0, *resized), "uint8")


def _draw(segmentation, size, resized):
    coder = import_extra("pycocotools.mask")
    if isinstance(segmentation, dict):
        runs = segmentation
        if isinstance(runs["counts"], list):
            runs = coder.frPyObjects(runs, *size)
        mask = Image.fromarray(coder.decode(runs))
        return np.asarray(mask.resize(resized[::-1], Image.Resampling.NEAREST))
    scale = np.array([resized[1] / size[1], resized[0] / size[0]])
    polygons = [(np.reshape(points, (-1, 2)) * scale).ravel() for points in segmentation if len(points) >= 6]
    if not polygons:  # points and lines cover no pixel
        return np.zeros(resized, "uint8")
    return coder.decode(coder.merge(coder.frPyObjects([list(points) for points in polygons], *resized)))
