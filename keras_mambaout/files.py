"""Writing files so that nothing is lost."""

import contextlib
import os
import pathlib
import re
import stat
from collections.abc import Callable, Iterator

import filelock
import numpy as np
from PIL import Image


def write_whole(path: str | os.PathLike, write: Callable[[str], None]) -> None:
    """Calls `write` with a path beside `path`, and moves the file there when it is complete on the disk.

    If that fails, the error is raised, nothing is left over and a file that was there stays as it was.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{os.fspath(path)!r} is {_kind(path)}: nothing was written")  # /dev/null would be replaced
    folder, name = os.path.split(os.path.abspath(path))
    part = os.path.join(folder, _part(name))
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


def remove_parts(folder: str | os.PathLike, names: str) -> None:
    """Removes what killed processes left of `write_whole` in a folder, of files whose names match an expression."""
    left_over = re.compile(rf"\.\d+-({names})")
    for name in os.listdir(folder):
        if left_over.fullmatch(name):
            os.remove(os.path.join(folder, name))


@contextlib.contextmanager
def locked(path: str | os.PathLike, refusal: str | None = None) -> Iterator[None]:
    """A context in which no other process, and no other thread, is in such a context of the same path.

    The system releases the lock of a process that was killed. The file stays, empty.

    Args:
        path: The lock file, in a folder that exists.
        refusal: What the error says if another one is there; `None` waits for it.

    Raises:
        ValueError: If another one is in the context of this path.
        OSError: If the file cannot be made.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=-1 if refusal is None else 0)
    except filelock.Timeout:
        raise ValueError(refusal) from None
    except NotImplementedError:  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()


def check_folder(path: str | os.PathLike) -> None:
    """Checks that a file can be written to `path`, before the work whose result it will hold."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"There is no folder {folder!r} to write {os.path.basename(path)!r} into: make it first.")
    check_output_file(path)


def check_output_file(path: str | os.PathLike) -> None:
    """Checks that a file can be written to `path`, once its folder is made, before the work whose result it will hold.

    Raises:
        ValueError: If the path is empty or a folder's or a device's, or nothing can be written there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{os.fspath(path)!r} is {_kind(path)}: give the path of a file to write.")
    _check_place(path, os.path.dirname(os.path.abspath(path)))


def check_output_folder(path: str | os.PathLike) -> None:
    """Checks that files can be written into a folder, once it is made, before the work whose results it will hold.

    Raises:
        ValueError: If the path is empty or a file's, or nothing can be written there.
    """
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{os.fspath(path)!r} is {_kind(path)}: give the path of a folder to write into.")
    _check_place(path, os.path.abspath(path))


def _check_place(path, folder):
    """Raises an error if a folder neither exists nor can be made, or nothing can be written into it."""
    if not os.fspath(path):
        raise ValueError("The path to write to is an empty text.")
    place = folder
    try:
        while not _exists(place):
            place = os.path.dirname(place)
        for name in os.path.relpath(path, place).split(os.sep):
            _exists(os.path.join(place, _part(name)))
        if not os.path.isdir(place):
            raise NotADirectoryError(f"{place!r} is no folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write into {place!r}")
    except (OSError, ValueError) as error:
        raise ValueError(f"Cannot write to {os.fspath(path)!r}: {error}.") from error


def _exists(path):
    """Returns whether there is something at a path; raises an error if nothing can be, as below a file."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def _part(name):
    """Returns the name of a file that is not complete yet."""
    return f".{os.getpid()}-{name}"  # the ending stays: Keras chooses the format by it


def _kind(path):
    return "a folder" if os.path.isdir(path) else "a file" if os.path.isfile(path) else "neither a file nor a folder"


def read_text(path: str | os.PathLike) -> str:
    """Returns the text of a file; a device, which may have no end, is an error."""
    if stat.S_ISCHR(os.stat(path).st_mode):
        raise OSError(f"{os.fspath(path)!r} is a device")
    with open(path, encoding="utf-8") as file:
        return file.read()


def write_text(text: str, path: str | os.PathLike) -> None:
    """Writes a text file; if that fails, a file that was there stays as it was."""
    try:
        write_whole(path, lambda part: pathlib.Path(part).write_text(text, "utf-8"))
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
