"""Writing files so that nothing is lost."""

import os
from collections.abc import Callable

import numpy as np
from PIL import Image


def write_whole(path: str | os.PathLike, write: Callable[[str], None]) -> None:
    """Calls `write` with a path beside `path`, and moves the file there when it is complete on the disk.

    If that fails, the error is raised, nothing is left over and a file that was there stays as it was.
    """
    folder, name = os.path.split(os.path.abspath(path))
    part = os.path.join(folder, f".{os.getpid()}-{name}")  # the ending stays: Keras chooses the format by it
    try:
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


def save_picture(picture: np.ndarray, path: str | os.PathLike) -> str | os.PathLike:
    """Writes an array `(H, W, 3)`, uint8, as a PNG file and makes its folder if there is none; returns the path."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_whole(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
    except OSError as error:
        raise ValueError(f"Cannot write the picture {path!r}: {error}") from error
    return path
