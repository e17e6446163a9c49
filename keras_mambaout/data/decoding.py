"""Decoding of image files for data sets, where it is most of the work."""

import io
import os
import sys

import numpy as np
from PIL import ExifTags, Image

from keras_mambaout.preprocessing.reading import UPRIGHT, load_image

PLAIN_MODES = ("RGB", "L")  # of JPEGs, which TensorFlow and Pillow decode to the same pixels


def decode_image(source: str | os.PathLike | bytes, name: str | None = None) -> np.ndarray:
    """As `load_image`, for a path or the bytes of a file, and JPEGs in less time where TensorFlow is in use.

    Plain JPEGs are decoded by TensorFlow, which `tf.data` has loaded anyway: to the same pixels, since both use
    libjpeg-turbo, and without Python's lock, so that threads do not wait for each other. All else, what is damaged
    included, is read by `load_image`.

    Args:
        source: The path, or the bytes.
        name: What to call bytes in an error.
    """
    tensorflow = sys.modules.get("tensorflow")
    data = source
    if tensorflow is not None and not isinstance(source, bytes):
        try:
            with open(source, "rb") as file:
                data = file.read()
        except OSError:
            return load_image(source)  # which says why
    if tensorflow is not None and _is_plain_jpeg(data):
        try:
            with tensorflow.device("CPU"):
                return tensorflow.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
        except tensorflow.errors.OpError:
            pass  # damaged: `load_image` says how
    if isinstance(source, bytes):
        source = io.BytesIO(source)
        source.name = name
    return load_image(source)


def _is_plain_jpeg(data):
    """Returns whether bytes are a JPEG that needs no conversion or rotation, by its header."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.format != "JPEG" or image.mode not in PLAIN_MODES:
                return False
            return "exif" not in image.info or image.getexif().get(ExifTags.Base.Orientation) not in UPRIGHT
    except Exception:  # of any type, and warnings as errors: `load_image` reads it, or says why not
        return False
