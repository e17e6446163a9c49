"""From an image to a detector's input, and from its boxes back."""

from typing import Any

import numpy as np
from PIL import Image

from keras_mambaout.preprocessing.reading import check_rgb

PADDING_COLOR = (123.675, 116.28, 103.53)  # ImageNet's mean: what the models normalise to 0


def letterbox(image: np.ndarray, size: int | tuple[int, int]) -> tuple[np.ndarray, tuple[float, float]]:
    """Resizes an image to fit into a size, at the top left, and fills the rest.

    `scale = min(H' / H, W' / W)`: the aspect ratio is kept. The rest has ImageNet's mean colour, which
    the models normalise to 0. Resizing is bilinear with antialiasing, as in `CocoDataset.batches`.

    Args:
        image: Array `(H, W, 3)` of dtype uint8, as `load_image` returns it.
        size: An integer or `(H', W')`.

    Returns:
        A float32 array `(H', W', 3)`, 0-255, and `(vertical, horizontal)` scale. A box `x, y, ...` of the
        result is `x / horizontal, y / vertical, ...` of the image.

    Raises:
        ValueError: If `image` is not such an array or `size` not such a size.

    Example:
    ```python
    photo = keras_mambaout.load_image("photo.jpg")
    image, scale = keras_mambaout.letterbox(photo, 640)
    detections = detector.predict(image[None])
    ```
    """
    image = check_rgb(image)
    sides = check_size("size", size)
    resized = fit(image.shape[:2], sides)
    return resize_and_pad(image, resized, sides), (resized[0] / image.shape[0], resized[1] / image.shape[1])


def resize_and_pad(image: np.ndarray, resized: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Returns an image resized to `resized`, at the top left of a float32 array of height and width `size`."""
    canvas = np.full((*size, 3), PADDING_COLOR, "float32")
    small = Image.fromarray(check_rgb(image)).resize(resized[::-1], Image.Resampling.BILINEAR)
    canvas[: resized[0], : resized[1]] = np.asarray(small)
    return canvas


def fit(size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """Returns the largest height and width in the proportions of `size` within `limits`."""
    scale = min(limits[0] / size[0], limits[1] / size[1])
    return tuple(max(1, int(side * scale + 0.5)) for side in size)


def check_size(name: str, size: Any) -> tuple[int, int]:
    """Returns `(height, width)` meant by an integer or a pair of them."""
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise ValueError(f"`{name}` must be a positive integer or (height, width), got {size!r}.")
    return sides
