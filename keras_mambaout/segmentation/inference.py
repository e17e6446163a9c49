"""The classes of the pixels of photos of any size, seen through windows and at several scales."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_mambaout.arguments import check_edges, check_positive_integer, check_positive_number
from keras_mambaout.inference_settings import WHOLE_PHOTO, SegmentationSettings, check_windows, settings_of
from keras_mambaout.preprocessing.fitting import fit
from keras_mambaout.preprocessing.reading import check_rgb
from keras_mambaout.scores import softmax

STRIP = 64  # rows of a photo that are resized at a time
MULTI_SCALE = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # the paper's, with `flip=True`


def segment(
    model: Any,
    photos: Sequence[np.ndarray],
    crop_size: int | str | None = None,
    stride: int | None = None,
    shortest_edge: int | None = None,
    longest_edge: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    batch_size: int = 1,
) -> list[np.ndarray]:
    """Returns the class of each pixel of photos.

    What is not given of the sizes is that of the model, `model.inference_settings`.

    A photo is resized, keeping its aspect ratio, so that its short side is `shortest_edge`, unless the long side would
    be more than `longest_edge`; `slide` gives its logits, which are resized to the photo's size, bilinear.
    With several scales, or mirrored photos too, the class is that of the highest mean probability. (Where a photo is
    smaller than a window, as at the paper's smaller scales, so is the window: JAX compiles each size anew.)

    Args:
        model: A `UperNet`, or another model whose `predict_on_batch` returns logits `(B, H, W, classes)`.
        photos: List of uint8 arrays `(H, W, 3)` of any sizes, as `load_image` returns them.
        crop_size: Side of the windows, or `"photo"` for whole photos; by default the model's, else 512.
        stride: Distance between windows, at most `crop_size`; by default two thirds of it.
        shortest_edge: Short side of a resized photo; by default the model's, else 512.
        longest_edge: The most that its long side may be; by default the model's, else four short sides.
        scales: Both sides are multiplied by each of these; the paper's are `segmentation.MULTI_SCALE`.
        flip: Whether photos are looked at mirrored too.
        batch_size: Windows at a time.

    Returns:
        A list of int32 arrays `(H, W)`, each as large as its photo.

    Raises:
        ValueError: If an argument is outside of what is listed above.

    Example:
    ```python
    photo = keras_mambaout.load_image("photo.jpg")
    (classes,) = segment(model, [photo], scales=MULTI_SCALE, flip=True)
    ```
    """
    sizes = settings_of(model, SegmentationSettings).options(crop_size, stride, shortest_edge, longest_edge)
    check_views(sizes, scales)
    window = None if sizes["crop_size"] == WHOLE_PHOTO else sizes["crop_size"]
    check_positive_integer("batch_size", batch_size)
    found = []
    for photo in photos:
        photo = check_rgb(photo)
        views = (
            slide(model, view, window, sizes["stride"], batch_size)[:, :: -1 if mirrored else 1]
            for view, mirrored in _views(photo, sizes["shortest_edge"], sizes["longest_edge"], scales, flip)
        )
        found.append(_classes(views, photo.shape[:2], len(scales) * (1 + bool(flip))))
    return found


def slide(
    model: Any,
    image: np.ndarray,
    crop_size: int | None = 512,
    stride: int | None = None,
    batch_size: int = 1,
) -> np.ndarray:
    """Returns the logits of an image, seen through windows that overlap.

    Windows begin every `stride` pixels, the last ones end at the border; where several see a pixel, its logits are the
    mean of theirs. An image that is no larger than a window is one window: its logits are exactly the model's.

    Args:
        model: As for `segment`.
        image: `(H, W, 3)`, 0-255.
        crop_size: Side of the windows; `None` makes the image one window.
        stride: Distance between windows, at most `crop_size`; `None` is two thirds of it.
        batch_size: Windows at a time.

    Returns:
        A float32 array `(H, W, classes)`.

    Raises:
        ValueError: If an argument is outside of what is listed above.

    Example:
    ```python
    logits = slide(model, image)  # (512, 683, 150)
    ```

    Source: `slide_inference` of [mmsegmentation](https://github.com/open-mmlab/mmsegmentation)
    """
    if crop_size is not None:
        check_windows(crop_size, stride)
    image = np.asarray(image, "float32")
    sides = [side if crop_size is None else min(crop_size, side) for side in image.shape[:2]]
    tops, lefts = (
        _starts(side, window, crop_size, stride) for side, window in zip(image.shape[:2], sides, strict=True)
    )
    corners = [(top, left) for top in tops for left in lefts]
    total = None
    for first in range(0, len(corners), batch_size):
        chosen = [
            (slice(top, top + sides[0]), slice(left, left + sides[1])) for top, left in corners[first:][:batch_size]
        ]
        logits = np.asarray(model.predict_on_batch(np.stack([image[place] for place in chosen])), "float32")
        if len(corners) == 1:
            return logits[0]
        if total is None:
            total = np.zeros((*image.shape[:2], logits.shape[-1]), "float32")
            seen = np.zeros((*image.shape[:2], 1), "float32")
        for place, values in zip(chosen, logits, strict=True):
            total[place] += values
            seen[place] += 1.0
    total /= seen
    return total


def check_views(sizes: Mapping[str, Any], scales: Any) -> None:
    """Checks the sizes of `segment`, as `SegmentationSettings.options` returns them, and its scales."""
    check_windows(sizes["crop_size"], sizes["stride"])
    check_edges(sizes["shortest_edge"], sizes["longest_edge"])
    if not isinstance(scales, (tuple, list)) or not scales:
        raise ValueError(f"`scales` must be one or more numbers, such as (1.0,), got {scales!r}.")
    for scale in scales:
        check_positive_number("scales", scale)


def _starts(side, window, crop_size, stride):
    """Returns where windows begin on a side."""
    if crop_size is None:
        return [0]
    stride = max(1, 2 * crop_size // 3) if stride is None else stride
    return [min(start, side - window) for start in range(0, side - window + stride, stride)]


def _views(photo, shortest_edge, longest_edge, scales, flip):
    """Yields the photo at each scale, float32, as it is and perhaps mirrored."""
    sides = (shortest_edge, longest_edge) if photo.shape[0] < photo.shape[1] else (longest_edge, shortest_edge)
    for scale in scales:
        size = fit(photo.shape[:2], [side * scale for side in sides])
        image = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR), "float32")
        yield image, False
        if flip:
            yield image[:, ::-1], True


def _classes(views, size, count):
    """Returns the classes `(H, W)` of one or more logits of other sizes, a strip of rows at a time."""
    classes, total = np.zeros(size, "int32"), None
    for number, logits in enumerate(views, start=1):
        for first in range(0, size[0], STRIP):
            rows = slice(first, min(first + STRIP, size[0]))
            scores = resize_rows(logits, size, rows)  # (rows, W, classes)
            if count > 1:
                scores = softmax(scores)
                total = np.zeros((*size, scores.shape[-1]), "float32") if total is None else total
                total[rows] += scores
                scores = total[rows]
            if number == count:
                classes[rows] = np.argmax(scores, axis=-1)
    return classes


def resize_rows(logits: np.ndarray, size: tuple[int, int], rows: slice) -> np.ndarray:
    """Returns some rows `(rows, W, C)` of logits `(h, w, C)` at the size `(H, W)`, as `resize_bilinear` makes them.

    `keras.ops.image.resize` makes all rows at once, which are 7 GB for 150 classes at 12 megapixels, and JAX compiles
    it for each new size of photo; Pillow makes a few rows, but blurs what it makes smaller.
    """
    low, high, share = (part[rows] for part in _places(logits.shape[0], size[0]))
    share = share[:, None, None]
    strip = logits[low] * (1 - share) + logits[high] * share  # (rows, w, C)
    low, high, share = _places(logits.shape[1], size[1])
    share = share[:, None]
    return strip[:, low] * (1 - share) + strip[:, high] * share


def _places(old, new):
    """Returns the two rows that each row of the result lies between, and its distance from the first."""
    place = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0.0)
    low = place.astype(int)
    return low, np.minimum(low + 1, old - 1), (place - low).astype("float32")
