"""A training batch as a picture."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 160  # pixels of a tile
LINE = 14
SHOWN = 0.05  # labels of less are not named


def draw_batch(images, labels, class_names, columns=8):
    """Draws the images of a batch, each with its labels below it.

    Args:
        images: Array `(B, H, W, 3)`, 0-255.
        labels: Array `(B, classes)`, the share of each class: one-hot or mixed.
        class_names: Name of each class.
        columns: Images beside each other.

    Returns:
        A picture, uint8.

    Example:
    ```python
    images, labels = next(data.batches(32, training=True, label_mode="categorical").as_numpy_iterator())
    PIL.Image.fromarray(draw_batch(images, labels, data.class_names)).save("augmented.png")
    ```
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    picture = Image.new("RGB", (columns * SIDE, rows * (SIDE + 2 * LINE)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=LINE - 3)
    for index, (image, shares) in enumerate(zip(images, np.asarray(labels), strict=True)):
        left, top = index % columns * SIDE, index // columns * (SIDE + 2 * LINE)
        tile = Image.fromarray(np.clip(np.round(image), 0, 255).astype("uint8"))
        picture.paste(tile.resize((SIDE - 2, SIDE - 2), Image.Resampling.BILINEAR), (left, top))
        largest = [number for number in np.argsort(-shares)[:2] if shares[number] >= SHOWN]
        for line, number in enumerate(largest):
            text = class_names[number] if shares[number] > 1 - SHOWN else f"{shares[number]:.0%} {class_names[number]}"
            draw.text((left + 1, top + SIDE + line * LINE), text[: SIDE // 6], fill="black", font=font)
    return np.asarray(picture)
