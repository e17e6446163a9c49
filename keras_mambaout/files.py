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
        with open(part, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777  # as the umask has it, which not every library minds
        write(part)
        os.chmod(part, mode)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


def check_folder(path: str | os.PathLike) -> None:
    """Checks that a file can be written to `path`, before the work whose result it will hold."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"There is no folder {folder!r} to write {os.path.basename(path)!r} into: make it first.")


def write_text(text: str, path: str | os.PathLike) -> None:
    """Writes a text file; if that fails, a file that was there stays as it was."""

    def write(part):
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)

    try:
        write_whole(path, write)
    except OSError as error:
        raise ValueError(f"Cannot write {os.fspath(path)!r}: {error}") from error


def save_picture(picture: np.ndarray, path: str | os.PathLike) -> str | os.PathLike:
    """Writes an array `(H, W, 3)`, uint8, as a PNG file and makes its folder if there is none; returns the path."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_whole(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
    except OSError as error:
        raise ValueError(f"Cannot write the picture {path!r}: {error}") from error
    return path
