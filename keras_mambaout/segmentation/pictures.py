"""The classes of pixels in colours, beside their photos, with a legend."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFont

from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.label_map_files import IGNORED
from keras_mambaout.visualization.grid import make_legend, make_tile, make_title, resize_to_fit, side_by_side
from keras_mambaout.visualization.palette import color_label_map, distinct_colors

GAP = 6  # pixels between pictures
IGNORED_NAME = "not labelled"
BLACK = (0, 0, 0)


def class_palette(class_names: Sequence[str]) -> np.ndarray:
    """Returns a colour for each class: ADE20K's own if these are its classes, else `distinct_colors`.

    Args:
        class_names: Name of each class, at most 255.

    Returns:
        An array `(K, 3)`, uint8, RGB.
    """
    names, colors = ade20k_classes()
    return np.array(colors, "uint8") if list(class_names) == names else distinct_colors(len(class_names))


def draw_segmentation(
    photos: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray] | None = None,
    labels: Sequence[np.ndarray] | None = None,
    class_names: Sequence[str] | None = None,
    palette: np.ndarray | None = None,
    side: int = 480,
) -> np.ndarray:
    """Draws photos, the classes of their pixels as they were predicted and as they are labelled, and a legend.

    One row per photo: the image, the prediction and the truth, as far as they are given. The legend below has the
    classes that are seen, the one with most pixels first; pixels that do not count, 255, are black.

    Args:
        photos: List of arrays `(H, W, 3)`, uint8 or floats from 0 to 255.
        predictions: List of integer arrays `(H, W)`, as `segment` returns them, or `None`.
        labels: List of integer arrays `(H, W)`, or `None`; one of the two must be given.
        class_names: Name of each class; `None` shows the numbers.
        palette: `(K, 3)`, uint8, RGB, the colour of each class; by default ADE20K's if these are its names, else
            colours that look as different as they can.
        side: Long side of an image in the picture, in pixels.

    Returns:
        A picture `(height, width, 3)`, uint8.

    Raises:
        ValueError: If lists or sizes do not fit together, or a class has no name or colour.

    Example:
    ```python
    classes = segment(model, photos)
    picture = draw_segmentation(photos, classes, class_names=dataset.class_names)
    PIL.Image.fromarray(picture).save("segmentation.png")
    ```
    """
    given = {"prediction": predictions, "truth": labels}
    columns = {title: [np.asarray(part) for part in parts] for title, parts in given.items() if parts is not None}
    _check(photos, columns)
    counts = sum(np.bincount(part.ravel(), minlength=IGNORED + 1) for parts in columns.values() for part in parts)
    seen = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    names, palette = _names_and_colors(seen, class_names, palette)

    font = ImageFont.load_default(size=max(11, side // 32))
    titles = side_by_side([make_title(title, side, GAP, font) for title in ("image", *columns)])
    rows = []
    for photo, *parts in zip(photos, *columns.values(), strict=True):
        colored = [resize_to_fit(color_label_map(part, palette), side, Image.Resampling.NEAREST) for part in parts]
        pictures = [resize_to_fit(np.asarray(photo), side), *colored]
        rows.append(side_by_side([make_tile(picture, side, GAP) for picture in pictures]))
    entries = [(names[i] if i < len(names) else IGNORED_NAME, palette[i] if i < len(palette) else BLACK) for i in seen]
    return np.concatenate([titles, *rows, make_legend(entries, titles.shape[1], GAP, font)])


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
    """Returns a name and a colour for each class, checked to be enough for the classes that are seen."""
    highest = max((index for index in seen if index != IGNORED), default=0)
    if class_names is None:
        names = [str(index) for index in range(highest + 1 if palette is None else len(palette))]
    else:
        names = list(class_names)
    palette = class_palette(names) if palette is None else np.asarray(palette)
    for what, count in (("class_names", len(names)), ("palette", len(palette))):
        if highest >= count:
            raise ValueError(f"`{what}` has {count} rows, but there are pixels of class {highest}.")
    return names, palette
