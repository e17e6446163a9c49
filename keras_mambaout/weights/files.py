"""Reading weights files into named NumPy arrays, and writing them."""

import contextlib
import hashlib
import json
import logging
import zipfile
from collections.abc import Iterable, Mapping

import numpy as np
import safetensors
import safetensors.numpy

from keras_mambaout.files import check_folder, write_whole
from keras_mambaout.weights.archive import check_zip
from keras_mambaout.weights.name_map import from_authors_names

CHECKSUM = "keras_mambaout.sha256"  # in the metadata of a `.safetensors` file
NAMED = 5  # tensors that a warning names
logger = logging.getLogger("keras_mambaout")


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a `.safetensors` or `.pth` file as `{timm's name: array}`.

    Raises:
        ValueError: If the file cannot be read: cut off, damaged, or of a different kind.
        ImportError: For a `.pth` file without PyTorch.
    """
    if path.endswith(".pth"):
        with _readable(path, "PyTorch file of named tensors"):
            return from_authors_names(_read_pth(path))
    with _readable(path, "safetensors file"):
        return from_authors_names(_read_safetensors(path))


def read_shape(path: str, name: str) -> tuple[int, ...] | None:
    """Returns the shape of a tensor of a `.safetensors` file, without reading it; `None` if there is no such tensor.

    Raises:
        ValueError: If the file cannot be read.
    """
    with _readable(path, "safetensors file"), safetensors.safe_open(path, "np") as file:
        return tuple(file.get_slice(name).get_shape()) if name in file.keys() else None  # noqa: SIM118


@contextlib.contextmanager
def _readable(path, kind):
    """Raises what goes wrong within as a ValueError that names the file."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # safetensors and torch raise errors of many kinds for damaged files
        raise ValueError(
            f"{path!r} is not a readable {kind}, it may be cut off or damaged ({type(error).__name__}: "
            f"{error!s:.500}). Delete it and download or save it again."
        ) from error


def _read_safetensors(path):
    tensors = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        expected = (file.metadata() or {}).get(CHECKSUM)
    if expected is not None and expected != _checksum(tensors):
        raise ValueError("its tensors are not those that were saved: their SHA-256 differs")
    return tensors


def _read_pth(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path!r} needs PyTorch (pip install 'keras-mambaout[torch]'). The same weights are "
            "published as safetensors, which needs nothing more: weights='imagenet' or a .safetensors path."
        ) from error
    if zipfile.is_zipfile(path):
        check_zip(path)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    tensors = tensors.get("model", tensors.get("state_dict", tensors))
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name!r:.80} is larger than what is stored of it")
        arrays[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return arrays


def _checksum(arrays):
    """Returns the SHA-256 of arrays, whatever their order and the rest of the file."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
    return digest.hexdigest()


def write_safetensors(tensors: Mapping[str, np.ndarray], path: str) -> None:
    """Writes named arrays to `path`, and their checksum; if that fails, a file that was there stays as it was."""
    check_folder(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    metadata = {"format": "pt", CHECKSUM: _checksum(arrays)}

    def write(part):
        safetensors.numpy.save_file(arrays, part, metadata=metadata)
        _sort_metadata(part)

    write_whole(path, write)


def _sort_metadata(path):
    """Sorts the metadata of a `.safetensors` file: the library's order is random, and equal models make equal files."""
    with open(path, "rb+") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.write(text.ljust(size))  # with spaces at its end, as it had


def warn_of_nan(path: str, tensors: Iterable[tuple[str, np.ndarray]]) -> None:
    """Logs a warning that names those tensors of a file that have NaN or infinity."""
    names = [name for name, values in tensors if not np.isfinite(values).all()]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        logger.warning(
            "%s: NaN or infinity in %d of its tensors, so the model's outputs will be too: %s%s.",
            path,
            len(names),
            ", ".join(names[:NAMED]),
            more,
        )
