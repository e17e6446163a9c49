"""Pictures of several images: tiles in rows and columns, with titles and a legend."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_mambaout.preprocessing.fitting import fit

WHITE = 255
LONGEST_NAME = 24  # letters in a legend


def resize_to_fit(image: np.ndarray, side: int, resample: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    """Returns an image `(H, W, 3)`, 0-255, as uint8, as large as it can be within `side` times `side`."""
    height, width = fit(image.shape[:2], (side, side))
    return np.asarray(Image.fromarray(np.clip(image, 0, 255).astype("uint8")).resize((width, height), resample))


def make_tile(image: np.ndarray, width: int, gap: int) -> np.ndarray:
    """Returns an image in the middle of a white strip of this width, with a gap below it and on the right."""
    left = (width - image.shape[1]) // 2
    right = width - image.shape[1] - left + gap
    return np.pad(image, ((0, gap), (left, right), (0, 0)), constant_values=WHITE)


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Returns images of any heights in a row, aligned at the top, with white below the lower ones."""
    height = max(image.shape[0] for image in images)
    padded = [np.pad(i, ((0, height - i.shape[0]), (0, 0), (0, 0)), constant_values=WHITE) for i in images]
    return np.concatenate(padded, axis=1)


def make_grid(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Returns images of one width in rows of `columns`; what the last row lacks is white."""
    images = [*images, *[np.full_like(images[0][:1], WHITE)] * (-len(images) % columns)]
    return np.concatenate([side_by_side(images[start : start + columns]) for start in range(0, len(images), columns)])


def make_title(text: str, width: int, gap: int, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Returns a title above the middle of a tile of this width and gap."""
    canvas = Image.new("RGB", (width + gap, round(1.8 * font.size)), "white")
    ImageDraw.Draw(canvas).text((width // 2, canvas.height // 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(canvas)


def add_lines(image: np.ndarray, lines: Sequence[str], count: int, height: int, margin: int) -> np.ndarray:
    """Returns an image with lines of text below it, and room for `count` of them.

    Args:
        image: `(H, W, 3)`, uint8.
        lines: The text, at most `count` lines.
        count: Lines that there is room for, so that tiles with fewer are as large.
        height: Pixels of a line.
        margin: White pixels below the image and on its right.
    """
    tall, wide = image.shape[0] + margin, image.shape[1] + margin
    canvas = Image.new("RGB", (wide, tall + count * height), "white")
    canvas.paste(Image.fromarray(image))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=height - 3)
    for number, line in enumerate(lines):
        draw.text((1, tall + number * height), line, fill="black", font=font)
    return np.asarray(canvas)


def make_legend(
    entries: Sequence[tuple[str, Sequence[int]]], width: int, gap: int, font: ImageFont.FreeTypeFont
) -> np.ndarray:
    """Returns colours with their names, as many beside each other as fit into a width.

    Args:
        entries: Pairs of a name and its colour, RGB.
        width: Pixels of the legend.
        gap: Pixels between a colour and its name, and below the last row.
        font: Font of the names.
    """
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name, _ in entries]
    line = round(1.6 * font.size)
    cell = round(max(font.getlength(name) for name in names)) + 2 * line
    columns = max(1, width // cell)
    canvas = Image.new("RGB", (max(width, cell), -(-len(entries) // columns) * line + gap), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (name, (_, color)) in enumerate(zip(names, entries, strict=True)):
        left, top = number % columns * cell, number // columns * line
        draw.rectangle((left, top + 2, left + line, top + line - 2), fill=tuple(int(value) for value in color))
        draw.text((left + line + gap, top + line // 2), name, fill="black", font=font, anchor="lm")
    return np.asarray(canvas)[:, :width]
