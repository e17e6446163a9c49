"""Pictures of a training batch, and of what a classifier confuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_mambaout.visualization.grid import add_lines, make_grid, make_title

SIDE = 160  # pixels of a tile
MARGIN = 2
LINE = 14
LINES = 2
SHOWN = 0.05  # classes with a smaller share are not named
WRITTEN_CLASSES = 20  # up to so many classes the cells of a matrix have numbers
CELL = 34  # pixels of such a cell
MATRIX_SIDE = 900  # pixels of a matrix with more classes
GAP = 6
READABLE = 8  # pixels of a line of text
FONT = ImageFont.load_default(size=12)
DARKEST = np.array([16, 64, 128])  # the colour of a share of 1


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


def draw_confusion_matrix(classes: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Draws what the images of each class were taken for.

    Rows are the classes of the images, columns those that were predicted. The darker a cell, the larger its share of
    the row; up to 20 classes, cells have their counts.

    Args:
        classes: `"classes"` of what `evaluate_classifier` returns.

    Returns:
        A picture `(height, width, 3)`, uint8.

    Example:
    ```python
    metrics = evaluate_classifier(model, dataset)
    PIL.Image.fromarray(draw_confusion_matrix(metrics["classes"])).save("confusion.png")
    ```
    """
    names = [row["name"] for row in classes]
    counts = np.array([[row["predictions"].get(name, 0) for name in names] for row in classes])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = CELL if len(names) <= WRITTEN_CLASSES else max(2, MATRIX_SIDE // len(names))
    cells = np.round(255 - shares[..., None] * (255 - DARKEST)).astype("uint8")
    matrix = Image.fromarray(cells.repeat(cell, axis=0).repeat(cell, axis=1))
    if len(names) <= WRITTEN_CLASSES:
        draw = ImageDraw.Draw(matrix)
        for row, column in np.argwhere(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            place = (cell * (column + 0.5), cell * (row + 0.5))
            draw.text(place, str(counts[row, column]), fill=color, font=FONT, anchor="mm")

    rows = _name_list(names, cell, "rm")
    columns = _name_list(names, cell, "lm").transpose(Image.Transpose.ROTATE_90)
    title = Image.fromarray(make_title("image (rows) and prediction (columns)", rows.width + matrix.width, GAP, FONT))
    picture = Image.new("RGB", (title.width, title.height + columns.height + matrix.height + GAP), "white")
    for part, place in (
        (title, (0, 0)),
        (columns, (rows.width, title.height)),
        (rows, (0, title.height + columns.height)),
        (matrix, (rows.width, title.height + columns.height)),
    ):
        picture.paste(part, place)
    return np.asarray(picture)


def _name_list(names, line, anchor):
    """Returns names below each other, `line` pixels each; where that is too little to read them, white."""
    font = ImageFont.load_default(size=min(line - 1, FONT.size))
    width = GAP if line < READABLE else round(max(font.getlength(name) for name in names)) + 2 * GAP
    canvas = Image.new("RGB", (width, line * len(names)), "white")
    for number, name in enumerate(names if line >= READABLE else ()):
        place = (width - GAP if anchor[0] == "r" else GAP, line * (number + 0.5))
        ImageDraw.Draw(canvas).text(place, name, fill="black", font=font, anchor=anchor)
    return canvas
