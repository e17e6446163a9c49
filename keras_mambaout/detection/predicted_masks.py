"""From masks in the frames of their boxes to masks of the image."""

from typing import Any

import numpy as np

from keras_mambaout.arguments import check_number
from keras_mambaout.extras import import_extra


def paste_masks(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """Brings masks from the frames of their boxes to the size of the image.

    The pixel at `x, y` has its centre at `u = (x + 0.5 - left) * M / width - 0.5` in columns of the mask,
    and `v` likewise in rows; it belongs to the object if the centre is in the box and
    `sum_ij max(0, 1 - |v - i|) * max(0, 1 - |u - j|) * mask[i, j] >= threshold`: bilinear, with 0 around
    the mask.

    Args:
        masks: `(N, M, M)`, from 0 to 1.
        boxes: `(N, 4)` as `"xyxy"` in pixels of the image. They may be partly outside of it; those without
            area, such as padding, give empty masks.
        size: `(H, W)` of the image.
        threshold: The least value that belongs to the object.

    Returns:
        A boolean array `(N, H, W)`.

    Raises:
        ValueError: If shapes do not fit, or `threshold` is not from 0 to 1.

    Example:
    ```python
    predictions = model.predict(image[None])
    masks = paste_masks(predictions["masks"][0], predictions["boxes"][0], image.shape[:2])  # (100, H, W)
    ```

    Source: [Detectron2](https://github.com/facebookresearch/detectron2), `layers/mask_ops.py`
    """
    masks, boxes = _check(masks, boxes, threshold)
    pasted = np.zeros((len(masks), *size), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        _paste(canvas, mask, box, threshold)
    return pasted


def encode_masks(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Returns the masks of `paste_masks` as COCO's run lengths.

    This takes little memory: only one mask at a time is as large as the image.

    Args:
        masks: As for `paste_masks`.
        boxes: As for `paste_masks`.
        size: As for `paste_masks`.
        threshold: As for `paste_masks`.

    Returns:
        List of `{"size": [H, W], "counts": str}`.

    Raises:
        ValueError: As for `paste_masks`.
        ImportError: If pycocotools is not installed.

    Example:
    ```python
    (found,) = detect(detector, [photo], masks="box")
    encode_masks(found["masks"], found["boxes"], photo.shape[:2])  # [{"size": [480, 640], "counts": "..."}]
    ```
    """
    masks, boxes = _check(masks, boxes, threshold)
    coder = import_extra("pycocotools.mask")
    encoded = []
    for mask, box in zip(masks, boxes, strict=True):
        canvas = np.zeros(size, "uint8", order="F")
        _paste(canvas, mask, box, threshold)
        runs = coder.encode(canvas)
        encoded.append({"size": list(runs["size"]), "counts": runs["counts"].decode()})
    return encoded


def _check(masks, boxes, threshold):
    masks, boxes = np.asarray(masks, "float32"), np.asarray(boxes, "float64")
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2] or boxes.shape != (len(masks), 4):
        raise ValueError(
            f"`masks` must be (N, M, M), in the frames of their boxes, and `boxes` (N, 4), got shapes {masks.shape} "
            f"and {boxes.shape}. Masks of whole images need no pasting."
        )
    check_number("threshold", threshold, 1)
    return masks, boxes


def _paste(canvas, mask, box, threshold):
    """Sets the pixels of an object in an empty canvas `(H, W)`."""
    left, top, right, bottom = box
    if not (np.isfinite(box).all() and right > left and bottom > top):
        return
    rows, vertical = _weights(top, bottom, canvas.shape[0], len(mask))
    columns, horizontal = _weights(left, right, canvas.shape[1], len(mask))
    canvas[rows, columns] = vertical @ mask @ horizontal.T >= threshold


def _weights(start, stop, length, cells):
    """Returns the pixels whose centres are within a side of a box, as a slice, and their weights `(n, M)`."""
    first, end = np.clip([np.ceil(start - 0.5), np.floor(stop - 0.5) + 1], 0, length).astype(int)
    end = max(first, end)
    places = (np.arange(first, end) + 0.5 - start) * cells / (stop - start) - 0.5
    return slice(first, end), np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells))).astype("float32")
