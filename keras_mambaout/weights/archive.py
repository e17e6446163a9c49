"""Zip files, which `.keras` files and those of PyTorch are: whole, and no larger than they look."""

import os
import zipfile

MAX_EXPANSION = 100  # times the size of the file; Keras and PyTorch do not compress at all
SMALL = 2**26  # bytes that any file may unpack to


def check_zip(path: str | os.PathLike) -> None:
    """Reads all that a zip file holds and compares it with its checksums.

    Python's `zipfile` does that for members that are read from beginning to end. Keras reads some in pieces, which are
    not checked, and `torch.load` does not check at all.

    Raises:
        ValueError: If the file is no zip file, is damaged, unpacks to far more than its size, has two members of one
            name, or one whose name leads out of a folder. The error does not name the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_names([member.filename for member in members])
            unpacked = sum(member.file_size for member in members)
            if unpacked > max(SMALL, MAX_EXPANSION * os.path.getsize(path)):
                raise ValueError(f"it would unpack to {unpacked} bytes")
            # `torch.serialization.set_crc32_options(False)` writes files without checksums
            damaged = archive.testzip() if any(member.CRC for member in members) else None
    except Exception as error:  # of zipfile, and of what unpacks members
        if isinstance(error, (ValueError, MemoryError)):
            raise
        raise ValueError(f"it is damaged or no such file ({type(error).__name__}: {error})") from error
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} is damaged")


def _check_names(names):
    if len(set(names)) < len(names):
        raise ValueError(f"its part {next(name for name in names if names.count(name) > 1)!r} is there twice")
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise ValueError(f"its part {name!r} has a name that leads elsewhere")
