"""Reading weights files into named NumPy arrays, and writing them."""

from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from keras_mambaout.files import check_folder, write_whole
from keras_mambaout.weights.name_map import from_authors_names


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a `.safetensors` or `.pth` file as `{timm's name: array}`.

    Raises:
        ValueError: If the file cannot be read: cut off, damaged, or of a different kind.
        ImportError: For a `.pth` file without PyTorch.
    """
    tensors = _read_pth(path) if path.endswith(".pth") else _read_safetensors(path)
    return from_authors_names(tensors)


def _read_safetensors(path):
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path!r} is not a readable safetensors file, it may be cut off or damaged ({error}). "
            "Delete it and download or save it again."
        ) from error


def _read_pth(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path!r} needs PyTorch (pip install 'keras-mambaout[torch]'). The same weights are "
            "published as safetensors, which needs nothing more: weights='imagenet' or a .safetensors path."
        ) from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        tensors = tensors.get("model", tensors.get("state_dict", tensors))
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}
    except Exception as error:  # torch.load raises errors of many kinds for damaged files
        raise ValueError(
            f"{path!r} is not a readable PyTorch file of named tensors, it may be cut off or damaged "
            f"({type(error).__name__}: {error}). Delete it and download it again."
        ) from error


def write_safetensors(tensors: Mapping[str, np.ndarray], path: str) -> None:
    """Writes named arrays to `path`; if that fails, a file that was there stays as it was."""
    check_folder(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    write_whole(path, lambda part: safetensors.numpy.save_file(arrays, part, metadata={"format": "pt"}))
