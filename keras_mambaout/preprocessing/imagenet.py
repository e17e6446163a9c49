"""From an image to the model's input, and from its output to names, as on ImageNet."""

import functools
import importlib.resources
import math
from collections.abc import Sequence
from typing import Any

import keras
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


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Normalises 0-255 RGB for models built with `include_preprocessing=False`.

    `y = (x / 255 - mean) / std` with ImageNet's mean and standard deviation of each channel. Models
    built with the default `include_preprocessing=True` do this themselves: give them 0-255.

    Args:
        x: Array or tensor `(..., H, W, 3)`, or `(..., 3, H, W)` with channels first, of 0-255.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Returns:
        The same shape, in floating point. A float NumPy array is changed in place.

    Example:
    ```python
    model = keras_mambaout.MambaOutTiny(include_preprocessing=False)
    model.predict(keras_mambaout.preprocess_input(images))
    ```
    """
    return keras.applications.imagenet_utils.preprocess_input(x, data_format=data_format, mode="torch")


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


def decode_predictions(
    preds: Any, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[str | int, str, float]]]:
    """The most probable classes of each image, with their names: ImageNet's, or others.

    Args:
        preds: Array or tensor `(B, classes)` of probabilities or logits.
        top: How many classes per image, from 1 to all of them.
        class_names: Name of each class, such as `model.inference_settings.class_names`; `None` is for the 1000
            classes of ImageNet.

    Returns:
        For each image a list of `top` tuples `(synset id, name, score)`, the highest score first, as
        `keras.applications.imagenet_utils.decode_predictions` returns them, without its download. With
        `class_names`, the tuples are `(number of the class, name, score)`.

    Raises:
        ValueError: If `preds` has a different shape, or `top` is out of range.

    Example:
    ```python
    keras_mambaout.decode_predictions(model.predict(images), top=1)
    # [[("n02504458", "African_elephant", 0.93)]]
    keras_mambaout.decode_predictions(flowers.predict(images), top=1, class_names=["daisy", "rose"])
    # [[(1, "rose", 0.97)]]
    ```
    """
    scores = keras.ops.convert_to_numpy(preds).astype("float32")
    classes = imagenet_classes() if class_names is None else tuple(enumerate(class_names))
    if scores.ndim != 2 or scores.shape[1] != len(classes):
        what = "the 1000 ImageNet classes" if class_names is None else f"the {len(classes)} `class_names`"
        raise ValueError(
            f"`preds` must be a batch of scores of {what}, (B, {len(classes)}), got shape {scores.shape}. For a model "
            "with classes of its own, give their names as `class_names`."
        )
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= len(classes):
        raise ValueError(f"`top` must be an integer from 1 to {len(classes)}, got {top!r}.")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [[(*classes[i], float(row[i])) for i in indices] for row, indices in zip(scores, best, strict=True)]
