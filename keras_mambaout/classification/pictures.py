"""A training batch as a picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_mambaout.visualization.grid import add_lines, make_grid

SIDE = 160  # pixels of a tile
MARGIN = 2
LINE = 14
LINES = 2
SHOWN = 0.05  # classes with a smaller share are not named


def draw_batch(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], columns: int = 8) -> np.ndarray:
    """Draws the images of a batch, each with its labels below it.

    Args:
        images: Array `(B, H, W, 3)`, 0-255.
        labels: Array `(B, classes)`, the share of each class: one-hot or mixed.
        class_names: Name of each class.
        columns: Images in a row.

    Returns:
        A picture `(height, width, 3)`, uint8.

    Example:
    ```python
    images, labels = next(data.batches(32, training=True, label_mode="categorical").as_numpy_iterator())
    PIL.Image.fromarray(draw_batch(images, labels, data.class_names)).save("augmented.png")
    ```
    """
    tiles = [_tile(image, shares, class_names) for image, shares in zip(images, np.asarray(labels), strict=True)]
    return make_grid(tiles, min(columns, len(tiles)))


def _tile(image, shares, class_names):
    pixels = Image.fromarray(np.clip(np.round(image), 0, 255).astype("uint8"))
    small = np.asarray(pixels.resize((SIDE - MARGIN, SIDE - MARGIN), Image.Resampling.BILINEAR))
    lines = []
    for number in np.argsort(-shares)[:LINES]:
        if shares[number] >= SHOWN:
            share = "" if shares[number] > 1 - SHOWN else f"{shares[number]:.0%} "
            lines.append(f"{share}{class_names[number]}"[: SIDE // 6])
    return add_lines(small, lines, LINES, LINE, MARGIN)
