"""Pictures of detections: boxes, names and masks."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_mambaout.visualization.palette import hue_color

MASK_OPACITY = 0.45


def draw_detections(
    image: np.ndarray,
    boxes: np.ndarray,
    classes: Sequence[int] | np.ndarray,
    confidence: Sequence[float] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    masks: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draws boxes with their names over an image, and masks with their outlines under them.

    Args:
        image: Array `(H, W, 3)`, uint8 or floats from 0 to 255.
        boxes: `(N, 4)` as `"xyxy"` in pixels of the image, the best first.
        classes: `(N,)`; rows of a class below 0 are padding and left out.
        confidence: `(N,)`, from 0 to 1, or `None` (the labels of a data set).
        class_names: List of names; `None` shows the numbers.
        masks: Boolean `(N, H, W)`, or `None`.
        names: Name of each object, as `detect` returns them; used where there are no `class_names`.

    Returns:
        An array `(H, W, 3)`, uint8.

    Raises:
        ValueError: If `masks` are not one for each box, each of the size of the image.

    Example:
    ```python
    (found,) = detect(detector, [photo])
    picture = draw_detections(photo, **found)
    PIL.Image.fromarray(picture).save("detections.png")
    ```
    """
    pixels = np.clip(image, 0, 255).astype("uint8")
    line = max(2, round(max(pixels.shape[:2]) / 320))
    if masks is not None:
        _draw_masks(pixels, np.asarray(masks, bool), classes, line)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(10, round(max(picture.size) / 45)))
    for row in range(len(boxes))[::-1]:  # the best on top
        index = int(classes[row])
        if index < 0:
            continue
        color = hue_color(index)
        name = names[row] if names is not None else str(index)
        name = class_names[index] if class_names is not None else name
        text = name if confidence is None else f"{name} {confidence[row]:.2f}"
        left, top, right, bottom = (float(value) for value in boxes[row])
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=line)
        above = top - font.size - 2 * line
        place = (left + line, above if above > 0 else top + line)
        draw.rectangle(draw.textbbox(place, text, font=font), fill=color)
        draw.text(place, text, fill=(255, 255, 255), font=font)
    return np.asarray(picture)


def _draw_masks(image, masks, classes, line):
    """Draws masks over an image in the colours of their classes, with solid outlines of `line` pixels."""
    expected = (len(classes), *image.shape[:2])
    if masks.shape != expected:
        raise ValueError(
            f"`masks` must be of shape {expected}, one for each box, each of the size of the image, got {masks.shape}. "
            "Masks in the frames of their boxes are brought there by `paste_masks`."
        )
    for mask, index in list(zip(masks, classes, strict=True))[::-1]:  # the best on top
        if index < 0:
            continue
        color = np.array(hue_color(int(index)))
        image[mask] = np.round((1 - MASK_OPACITY) * image[mask] + MASK_OPACITY * color)
        image[mask & ~erode(mask, line)] = color


def erode(mask: np.ndarray, steps: int) -> np.ndarray:
    """Returns a mask `(H, W)` without its outermost `steps` pixels, also where the image ends.

    A pixel stays in a step if the four beside it are in the mask. Pillow's `MinFilter` looks at the four at the
    corners too, which makes slanted outlines twice as wide, and takes nothing away where the image ends.
    """
    for _ in range(steps):
        around = np.pad(mask, 1)
        mask = mask & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask
