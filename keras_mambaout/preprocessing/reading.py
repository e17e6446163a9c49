"""Reading one image of any kind as RGB."""

import os
import pathlib
import warnings
from typing import Any

import numpy as np
from PIL import ExifTags, Image

FORMATS = (  # those of Pillow's own formats that are read, by its names
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000"),
    *("PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP"),
)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")  # of the images in a folder
UPRIGHT = {  # what brings an image upright that EXIF says is stored so
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NEARLY_BLACK = 16  # of 255


def load_image(source: Any) -> np.ndarray:
    """Returns an image as RGB, whatever it was stored as.

    Greyscale, palette, CMYK and 16-bit images are converted; transparency is laid over white;
    the rotation that a camera wrote into EXIF is applied. Of an animation or a file of several pages the first is read.

    The range of values follows from their type and is never guessed: 16-bit and 32-bit integers are
    on a scale from 0 to 65535, floats, those of a TIFF too, on a scale from 0 to 255. Values outside of it are an
    error, and an image that comes out nearly black, as floats from 0 to 1 do, gives a warning.

    Files are AVIF, BMP, DDS, GIF, ICO, JPEG, JPEG 2000, PNG, PPM, QOI, SGI, TGA, TIFF or WebP, whatever their
    names end with, or of a format that another package has registered with Pillow, as `pillow_heif` does. PostScript,
    which is a program, and what else Pillow itself opens is refused. So is a file that is damaged,
    as far as its format shows it; where only its EXIF is, the image is read as it is stored, with a warning.
    Pillow's limit guards against decompression bombs: it warns of an image of more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS` (89 million), and one of more than twice as many is refused. Set it higher to read one.

    Args:
        source: A path, a binary file object, a `PIL.Image.Image`, or an array `(H, W)`, `(H, W, 1)`,
            `(H, W, 3)` or `(H, W, 4)` of dtype uint8 (0-255), uint16 (0-65535), bool, or floats
            on a scale from 0 to 255.

    Returns:
        A NumPy array `(H, W, 3)`, uint8, RGB.

    Raises:
        ValueError: If there is no such file, it is not a readable image, it is too large, or the array has a
            different shape, dtype or range.

    Example:
    ```python
    image = keras_mambaout.load_image("photo.jpg")  # (480, 640, 3), uint8
    ```
    """
    if isinstance(source, Image.Image):
        return _load(source, getattr(source, "filename", None), _pixels)
    if isinstance(source, (str, os.PathLike)):
        return _load(source, os.fspath(source), _pixels_of_file)
    if hasattr(source, "read"):
        return _load(source, getattr(source, "name", None), _pixels_of_file)
    return _from_array(np.asarray(source), "An image array")


def find_images(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the paths of the images in a folder and its subfolders, by name.

    Raises:
        ValueError: If there is none.
    """
    files = sorted(file for file in pathlib.Path(folder).rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"There is no image ({', '.join(SUFFIXES)}) in {folder}: give a folder of images.")
    return files


def check_rgb(image: Any) -> np.ndarray:
    """Returns `image` as the array `(H, W, 3)`, uint8, that it must be."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            f"`image` must be a uint8 array (H, W, 3), got {image.dtype} of shape {image.shape}. "
            "Use load_image first; it takes paths and other kinds of arrays, one image at a time."
        )
    return image


def check_rgb_images(layer: Any, images: Any) -> None:
    """Checks that one image or several have three channels."""
    channels = images.shape[-1 if layer.data_format == "channels_last" else -3]
    if channels != 3:
        raise ValueError(
            f"{type(layer).__name__} takes RGB images with three channels, got shape {tuple(images.shape)} read as "
            f"{layer.data_format}."
        )


def readable_formats() -> list[str]:
    """Returns the formats that are read: `FORMATS`, and what other packages than Pillow have registered with it."""
    others = [name for name, (factory, _) in Image.OPEN.items() if not factory.__module__.startswith("PIL.")]
    return [*FORMATS, *others]


def unreadable(name: str, error: Exception) -> str:
    """Returns the message for an error that Pillow raised while it read an image; its errors are of many types."""
    if isinstance(error, FileNotFoundError):
        return f"There is no image file {name} (working directory {os.getcwd()!r})."
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{name} is too large to be read: {error} If you trust it, set `PIL.Image.MAX_IMAGE_PIXELS` higher."
    if isinstance(error, MemoryError):
        return f"{name} cannot be read, there is not enough memory for it."
    return f"{name} is not a readable image, it may be damaged: {str(error) or type(error).__name__}"


def _load(source, name, read):
    name = repr(name) if name and isinstance(name, str) else "The image"
    try:
        array = read(source, name)
    except Exception as error:
        raise ValueError(unreadable(name, error)) from error
    return array if array.dtype == np.uint8 else _eight_bit(array, name)


def _pixels_of_file(source, name):
    with Image.open(source, formats=readable_formats()) as image:
        return _pixels(image, name)


def _pixels(image, name):
    """Returns what an image holds: uint8 `(H, W, 3)`, or of one with more than 8 bits the numbers `(H, W)`."""
    image.load()
    try:
        upright = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception as error:  # damaged in one of many ways
        upright = None
        warnings.warn(f"{name} has EXIF that cannot be read, its rotation is unknown: {error!r}", stacklevel=4)
    if upright is not None:
        image = image.transpose(upright)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.asarray(image)
    return _to_rgb(image)


def _to_rgb(image):
    if image.mode in ("LA", "PA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _from_array(array, name):
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)) or 0 in array.shape:
        raise ValueError(
            f"{name} must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels last, got shape {array.shape}."
        )
    if array.dtype == np.uint16 or np.issubdtype(array.dtype, np.floating):
        return _eight_bit(array, name)
    if array.dtype not in (np.uint8, bool):
        raise ValueError(f"{name} must be uint8, uint16, bool or float (0 to 255), got {array.dtype}.")
    return _to_rgb(Image.fromarray(array * np.uint8(255) if array.dtype == bool else array))


def _eight_bit(array, name):
    """Brings floats and integers of 16 or 32 bits to uint8, on the scale of their type, and returns them as RGB."""
    top = 255 if np.issubdtype(array.dtype, np.floating) else 65535
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= top):  # NaN is neither
        raise ValueError(
            f"{name} has values from {lowest} to {highest}. Floats must be finite and on a scale from 0 to 255, "
            "integers of 16 or 32 bits on one from 0 to 65535; bring them to that scale first."
        )
    if 0 < highest <= NEARLY_BLACK * top / 255:
        warnings.warn(
            f"{name} comes out nearly black: its largest value is {highest:.6g} on a scale from 0 to {top}. Floats "
            "from 0 to 1, for example, must be multiplied by 255 first.",
            stacklevel=4,
        )
    return _to_rgb(Image.fromarray(np.round(array / (top / 255)).astype("uint8")))
