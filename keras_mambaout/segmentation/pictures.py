"""Pictures of scenes: the classes of pixels in colours, with a legend."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_mambaout.preprocessing.fitting import fit
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.label_map_files import IGNORED
from keras_mambaout.visualization.palette import distinct_colors

GAP = 6  # pixels between pictures
IGNORED_NAME = "not labelled"
LONGEST_NAME = 24  # letters of the legend


def class_palette(class_names):
    """Returns a colour for each class: ADE20K's own if these are its classes, else `distinct_colors`.

    Args:
        class_names: Name of each class.

    Returns:
        An array `(K, 3)`, uint8, RGB.
    """
    names, colors = ade20k_classes()
    return np.array(colors, "uint8") if list(class_names) == names else distinct_colors(len(class_names))


def draw_segmentation(photos, predictions=None, labels=None, class_names=None, palette=None, side=480):
    """Draws photos, the classes of their pixels as they were predicted and as they are labelled, and a legend.

    A row a photo: the image, the prediction, and the truth, as far as they are given. The legend below has the classes
    that are seen, the one with most pixels first; pixels that do not count, 255, are black.

    Args:
        photos: List of arrays `(H, W, 3)`, uint8 or floats from 0 to 255.
        predictions: List of integer arrays `(H, W)`, as `segment` returns them, or `None`.
        labels: List of integer arrays `(H, W)`, or `None`; one of both must be given.
        class_names: Name of each class; `None` shows the numbers.
        palette: `(K, 3)`, uint8, RGB, the colour of each class; default ADE20K's if these are its names, and
            else colours that look as different as they can.
        side: Long side of an image in the picture, in pixels.

    Returns:
        A picture `(height, width, 3)`, uint8.

    Raises:
        ValueError: If lists or sizes do not fit together, or a class has no name or colour.

    Example:
    ```python
    classes = segment(model, photos)
    picture = draw_segmentation(photos, classes, class_names=dataset.class_names)
    PIL.Image.fromarray(picture).save("scenes.png")
    ```
    """
    given = {"prediction": predictions, "truth": labels}
    columns = {title: [np.asarray(part) for part in parts] for title, parts in given.items() if parts is not None}
    _check(photos, columns)
    counts = sum(np.bincount(part.ravel(), minlength=IGNORED + 1) for parts in columns.values() for part in parts)
    seen = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    names, palette = _names_and_colors(seen, class_names, palette)

    font = ImageFont.load_default(size=max(11, side // 32))
    titles = _side_by_side([_title(title, side, font) for title in ("image", *columns)])
    rows = [
        _side_by_side([_tile(photo, side), *(_tile(palette[part], side, Image.Resampling.NEAREST) for part in parts)])
        for photo, *parts in zip(photos, *columns.values(), strict=True)
    ]
    legend = _legend([(names[index], palette[index]) for index in seen], font, titles.shape[1])
    return np.concatenate([titles, *rows, legend])


def _check(photos, columns):
    if not columns or not len(photos):
        raise ValueError("There is nothing to draw: give one photo or more, and `predictions` or `labels`.")
    for title, parts in columns.items():
        if len(parts) != len(photos):
            raise ValueError(f"There must be one {title} for each photo, got {len(parts)} for {len(photos)}.")
        for photo, classes in zip(photos, parts, strict=True):
            if classes.shape != np.shape(photo)[:2] or classes.dtype.kind not in "iu":
                raise ValueError(
                    f"A {title} must be integers of the size of its photo, {np.shape(photo)[:2]}, got {classes.dtype} "
                    f"{classes.shape}."
                )
            if classes.min() < 0 or classes.max() > IGNORED:
                raise ValueError(f"A {title} must be of 0 to {IGNORED}, got {classes.min()} to {classes.max()}.")


def _names_and_colors(seen, class_names, palette):
    """Returns the name and the colour of each of the 256 numbers that a pixel may have."""
    highest = max((index for index in seen if index != IGNORED), default=0)
    if class_names is None:
        names = [str(index) for index in range(highest + 1 if palette is None else len(palette))]
    else:
        names = list(class_names)
    palette = class_palette(names) if palette is None else np.asarray(palette)
    for what, count in (("class_names", len(names)), ("palette", len(palette))):
        if highest >= count:
            raise ValueError(f"`{what}` has {count} rows, but there are pixels of class {highest}.")
    colors = np.zeros((IGNORED + 1, 3), "uint8")
    colors[: len(palette)] = palette
    return [*names, *[IGNORED_NAME] * (IGNORED + 1 - len(names))], colors


def _tile(pixels, side, resample=Image.Resampling.BILINEAR):
    """Returns a picture that fits into `side` times `side`, on white that is `side` wide."""
    image = Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
    height, width = fit(pixels.shape[:2], (side, side))
    small = np.asarray(image.resize((width, height), resample))
    left = (side - width) // 2
    return np.pad(small, ((0, GAP), (left, side - width - left), (0, 0)), constant_values=255)


def _title(text, side, font):
    canvas = Image.new("RGB", (side, round(1.8 * font.size)), "white")
    ImageDraw.Draw(canvas).text((side // 2, canvas.height // 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(canvas)


def _legend(entries, font, width):
    """Returns rows of colours with their names, as many beside each other as fit into `width`."""
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name, _ in entries]
    line = round(1.6 * font.size)
    cell = round(max(font.getlength(name) for name in names)) + 2 * line
    columns = max(1, width // cell)
    canvas = Image.new("RGB", (max(width, cell), -(-len(entries) // columns) * line + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (name, (_, color)) in enumerate(zip(names, entries, strict=True)):
        left, top = number % columns * cell, number // columns * line
        draw.rectangle((left, top + 2, left + line, top + line - 2), fill=tuple(int(value) for value in color))
        draw.text((left + line + GAP, top + line // 2), name, fill="black", font=font, anchor="lm")
    return np.asarray(canvas)[:, :width]


def _side_by_side(pictures):
    """Returns pictures of one height in a row."""
    return np.concatenate([np.pad(p, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for p in pictures], axis=1)
