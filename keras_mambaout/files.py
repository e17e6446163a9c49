"""Writing files so that nothing is lost."""

import os

from PIL import Image


def write_whole(path, write):
    """Calls `write` with a path beside `path`, and moves the file there when it is complete on the disk.

    If that fails, the error goes on, nothing is left over and a file that was there stays as it was.
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


def save_picture(picture, path):
    """Writes an array `(H, W, 3)`, uint8, as a PNG, and makes its folder if need be; returns the path."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_whole(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
    except OSError as error:
        raise ValueError(f"Cannot write the picture {path!r}: {error}") from error
    return path
