"""Pictures of detections."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GOLDEN_RATIO = 0.618034  # steps of hue that keep neighbouring classes apart


def draw_detections(image, boxes, classes, scores=None, class_names=None):
    """Draws boxes with their names over an image.

    Args:
        image: Array `(H, W, 3)`, uint8 or floats from 0 to 255.
        boxes: `(N, 4)` as `"xyxy"` in pixels of the image.
        classes: `(N,)`; rows of a class below 0 are padding and left out.
        scores: `(N,)`, from 0 to 1, or `None` (the labels of a data set).
        class_names: List of names; `None` shows the numbers.

    Returns:
        An array `(H, W, 3)`, uint8.

    Example:
    ```python
    picture = draw_detections(photo, boxes, classes, scores, dataset.class_names)
    PIL.Image.fromarray(picture).save("detections.png")
    ```
    """
    picture = Image.fromarray(np.clip(image, 0, 255).astype("uint8"))
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 320))
    font = ImageFont.load_default(size=max(10, round(max(picture.size) / 45)))
    for row in range(len(boxes))[::-1]:  # the best on top
        index = int(classes[row])
        if index < 0:
            continue
        color = _color(index)
        name = class_names[index] if class_names is not None else str(index)
        text = name if scores is None else f"{name} {scores[row]:.2f}"
        left, top, right, bottom = (float(value) for value in boxes[row])
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=line)
        above = top - font.size - 2 * line
        place = (left + line, above if above > 0 else top + line)
        draw.rectangle(draw.textbbox(place, text, font=font), fill=color)
        draw.text(place, text, fill=(255, 255, 255), font=font)
    return np.asarray(picture)


def _color(index):
    hue = index * GOLDEN_RATIO % 1.0
    return tuple(round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.85, 0.75))
