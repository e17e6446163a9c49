"""HDF5 files, in which Keras saves weights: no more than they look, and of themselves alone.

They have no checksums. What can be seen is seen here; a flipped bit in a number itself cannot.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py

MAX_EXPANSION = 100  # of compressed arrays; Keras does not compress
NO_WEIGHTS = ("optimizer/", "metrics/", "seed_generator/")  # other state in a file of weights


class Array(NamedTuple):
    """An array of a file: its size, whether it is of floats, and whether it can be one of a model's weights."""

    size: int
    is_float: bool
    is_weight: bool


def list_arrays(file: h5py.File) -> list[Array]:
    """Returns what arrays a file of weights has, without reading them.

    Raises:
        ValueError: If an array is larger than what is stored of it, lies in other files or in another array, or is
            of no number type; or if there are links instead of arrays. The error does not name the file.
    """
    found, extents = [], []
    for path, array in _arrays(file):
        stored, needed = array.id.get_storage_size(), array.size * array.dtype.itemsize
        if array.external or array.is_virtual:
            raise ValueError(f"its array {path!r} lies in another file")
        if needed > stored * (1 if array.chunks is None else MAX_EXPANSION):
            raise ValueError(f"its array {path!r} has {stored} bytes of {needed}")
        if not _has_plain_type(array):
            raise ValueError(f"its array {path!r} is not of a number type that Keras saves")
        start = array.id.get_offset()
        if start is not None and stored:
            extents.append((start, start + stored, path))
        is_weight = not any(other in path for other in NO_WEIGHTS)
        found.append(Array(array.size, array.dtype.kind in "fV", is_weight))
    extents.sort()
    for (_, end, path), (start, _, other) in itertools.pairwise(extents):
        if start < end:
            raise ValueError(f"its arrays {path!r} and {other!r} lie in the same place")
    if extents and extents[-1][1] > file.id.get_filesize():
        raise ValueError(f"its array {extents[-1][2]!r} lies behind its end")
    return found


def _arrays(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yields paths and arrays; each group once, since groups can hold each other."""
    groups, seen = [("", file)], set()
    while groups:
        path, group = groups.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            raise ValueError(f"its group {path!r} is there twice")
        seen.add(address)
        for name in group:
            inner = f"{path}/{name}" if path else name
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its part {inner!r} is a link")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append((inner, item))
            elif isinstance(item, h5py.Dataset):
                yield inner, item


def _has_plain_type(array):
    """Whether numbers are stored as this machine has them; bfloat16 is stored as two bytes and says so."""
    if array.dtype.kind == "V":
        return array.dtype.itemsize == 2 and array.attrs.get("dtype") == "bfloat16"
    is_number = array.dtype.kind in "fiub" and array.dtype.isnative
    return is_number and h5py.h5t.py_create(array.dtype) == array.id.get_type()
