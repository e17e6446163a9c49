"""Reading one image of any kind as RGB."""

import os
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def load_image(source: Any) -> np.ndarray:
    """Returns an image as RGB, whatever it was stored as.

    Greyscale, palette, CMYK and 16-bit images are converted; transparency is laid over white;
    the rotation that a camera wrote into EXIF is applied.

    Args:
        source: A path, a binary file object, a `PIL.Image.Image`, or an array `(H, W)`, `(H, W, 1)`,
            `(H, W, 3)` or `(H, W, 4)` of dtype uint8 (0-255), uint16 (0-65535), bool, or floats
            on a scale from 0 to 255.

    Returns:
        A NumPy array `(H, W, 3)`, uint8, RGB.

    Raises:
        ValueError: If there is no such file, it is not a readable image, or the array has a
            different shape or dtype.

    Example:
    ```python
    image = keras_mambaout.load_image("photo.jpg")  # (480, 640, 3), uint8
    ```
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source)
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        return _open(source)
    return _from_array(np.asarray(source))


def check_rgb(image: Any) -> np.ndarray:
    """Returns `image` as the array `(H, W, 3)`, uint8, that it must be."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            f"`image` must be a uint8 array (H, W, 3), got {image.dtype} of shape {image.shape}. "
            "Use load_image first; it takes paths and other kinds of arrays, one image at a time."
        )
    return image


def check_rgb_images(layer: keras.layers.Layer, images: Any) -> None:
    """Checks that one image or several have three channels."""
    channels = images.shape[-1 if layer.data_format == "channels_last" else -3]
    if channels != 3:
        raise ValueError(
            f"{type(layer).__name__} takes RGB images with three channels, got shape {tuple(images.shape)} read as "
            f"{layer.data_format}."
        )


def _open(source):
    name = getattr(source, "name", None) if hasattr(source, "read") else os.fspath(source)
    try:
        with Image.open(source) as image:
            return _to_rgb(image)
    except FileNotFoundError as error:
        raise ValueError(f"There is no image file {name!r} (working directory {os.getcwd()!r}).") from error
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name!r} is not a readable image, it may be damaged: {error}") from error


def _to_rgb(image):
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_array(_sixteen_bit_or_float(image))
    if image.mode in ("LA", "PA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _sixteen_bit_or_float(image):
    array = np.asarray(image)
    return array.astype("float32") if image.mode == "F" else np.clip(array, 0, 65535).astype("uint16")


def _from_array(array):
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)) or 0 in array.shape:
        raise ValueError(
            f"An image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels last, got shape {array.shape}."
        )
    if array.dtype == np.uint16:
        array = np.round(array / 257.0)
    elif array.dtype == bool:
        array = array * 255
    elif array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"An image array must be uint8, uint16, bool or float (0 to 255), got {array.dtype}.")
    if not np.all(np.isfinite(array)) or np.min(array) < 0 or np.max(array) > 255:
        raise ValueError(
            "A float image must be finite and on a scale from 0 to 255; got values from "
            f"{np.min(array)} to {np.max(array)}."
        )
    return _to_rgb(Image.fromarray(np.round(array).astype("uint8")))
