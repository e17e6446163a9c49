"""From an image to the model's input, as on ImageNet, and the names of its classes."""

import functools
import importlib.resources
import math

import numpy as np
from PIL import Image

from keras_mambaout.arguments import CROP_MODES
from keras_mambaout.preprocessing.reading import check_rgb


def resize_and_center_crop(
    image: np.ndarray, size: int = 224, crop_pct: float = 1.0, crop_mode: str = "center"
) -> np.ndarray:
    """The evaluation transform of timm and the paper for one image: resize, then crop the centre.

    The shorter side is resized to `floor(size / crop_pct)`, bicubic with antialiasing, and the
    middle `size x size` pixels are cut out. The resizing is Pillow's, so the pixels are timm's own.

    Args:
        image: Array `(H, W, 3)` of dtype uint8, as `load_image` returns it.
        size: Side of the square that is cut out, in pixels.
        crop_pct: Share of the resized shorter side that is kept, above 0 and at most 1.
        crop_mode: `"center"`, or `"squash"` to resize both sides to `floor(size / crop_pct)`
            whatever the image's proportions (the published 384-pixel weights).

    Returns:
        A NumPy array `(size, size, 3)`, uint8.

    Raises:
        ValueError: If an argument is not as described above.

    Example:
    ```python
    image = keras_mambaout.load_image("photo.jpg")
    batch = keras_mambaout.resize_and_center_crop(image, size=288)[None]  # (1, 288, 288, 3)
    ```

    Source: `transforms_imagenet_eval` of [timm](https://github.com/huggingface/pytorch-image-models).
    """
    image = check_rgb(image)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"`size` must be a positive integer, got {size!r}.")
    if not 0.0 < crop_pct <= 1.0:
        raise ValueError(f"`crop_pct` must be above 0 and at most 1, got {crop_pct!r}.")
    if crop_mode not in CROP_MODES:
        raise ValueError(f"`crop_mode` must be one of {', '.join(CROP_MODES)}, got {crop_mode!r}.")

    height, width = image.shape[:2]
    target = math.floor(size / crop_pct)
    short = min(height, width)
    if crop_mode == "squash":
        new_height = new_width = target
    else:
        new_height, new_width = target * height // short, target * width // short
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    return np.array(resized.crop((left, top, left + size, top + size)))


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Returns the 1000 ImageNet classes in order, each as its WordNet id and its name: `("n01440764", "tench")`."""
    text = importlib.resources.files("keras_mambaout.preprocessing").joinpath("imagenet_classes.txt").read_text()
    return tuple(tuple(line.split(" ", 1)) for line in text.splitlines())


def imagenet_names() -> list[str]:
    """Returns the names of the 1000 ImageNet classes in order, such as `"tench"`."""
    return [name for _, name in imagenet_classes()]


def imagenet_synsets() -> list[str]:
    """Returns the WordNet ids of the 1000 ImageNet classes in order, such as `"n01440764"`."""
    return [synset for synset, _ in imagenet_classes()]
