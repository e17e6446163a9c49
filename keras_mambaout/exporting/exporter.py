"""Writes a model for another runtime, proves it there, and puts it in its place."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.backend import NAME as BACKEND
from keras_mambaout.config import MIN_IMAGE_SIZE
from keras_mambaout.exporting.formats import DYNAMIC, check_format
from keras_mambaout.exporting.graph import InferenceGraph, default_size, prepared, task_of
from keras_mambaout.exporting.manifest import NAME, write_manifest
from keras_mambaout.exporting.proof import drawn_photos, prove
from keras_mambaout.exporting.writing import write
from keras_mambaout.files import check_output_folder
from keras_mambaout.layers.image_normalization import IMAGENET_MEAN, IMAGENET_STD, for_channels
from keras_mambaout.preprocessing.fitting import check_size

TOLERANCE = 1e-4  # relative, float32
PACKAGES = (
    "keras-mambaout",
    "keras",
    "tensorflow",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
)


def export(
    model: keras.Model,
    format: str,
    output: str | os.PathLike,
    size: int | tuple[int, int] | str | None = None,
    batch_size: int | str = 1,
    include_preprocessing: bool = True,
    photos: Sequence[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Writes a model for another runtime, runs it there, and compares the outputs with those of Keras.

    The file takes images `"images"` `(B, H, W, 3)`, float32, 0-255, and of a detector `"sizes"` `(B, 2)`, int32, the
    height and width of each image without its padding. It gives what `model.predict` gives: `"probabilities"` or
    `"logits"` of a classifier, `"logits"` of a segmenter, `"boxes"`, `"confidence"`, `"classes"`, `"masks"` and
    `"num_detections"` of a detector, whose non-maximum suppression is inside, `"P2"` to `"P5"` of a backbone.
    `load_exported` reads it without Keras.

    Every format is reached from every backend: `"onnx"`, `"openvino"` and `"torch"` are written by PyTorch,
    `"saved_model"` and `"litert"` by TensorFlow, in a process of its own where this one has another backend.

    Args:
        model: A `MambaOutClassifier`, `MambaOutBackbone`, `UperNet` or `MaskRCNN`. Of mixed precision, it is written
            in float32.
        format: `"onnx"`, `"openvino"`, `"litert"`, `"saved_model"` or `"torch"`.
        output: Folder to write into: it is new or empty, or holds an earlier export, which is replaced.
        size: Height and width of the images, an integer or `(H, W)`, or `"dynamic"` for any, which a `MaskRCNN` and
            LiteRT do not take; by default any size for a `UperNet`, else what the model was trained for, or 224 pixels,
            a `MaskRCNN` 640.
        batch_size: Images at a time, or `"dynamic"` for any number.
        include_preprocessing: Whether the file takes 0-255; otherwise normalised images, as `preprocess_input`
            returns them.
        photos: uint8 arrays `(H, W, 3)` to compare with; by default two drawn pictures.

    Returns:
        The manifest, which is written beside the file: names and shapes of inputs and outputs, class names, versions,
        sums of the files, `"difference"` of each output and `"seconds"` of both.

    Raises:
        ValueError: If an argument is outside of what is listed above, the converter fails, or an output differs by
            more than 1e-4 of its largest value. Nothing is written then, and an earlier export stays.
        ImportError: If the backend that writes the format, its converter or its runtime is not installed.

    Example:
    ```python
    model = keras_mambaout.MambaOutFemto()
    manifest = keras_mambaout.export(model, "onnx", "femto-onnx", size="dynamic", batch_size="dynamic")
    print(manifest["difference"])  # {"probabilities": 2e-07}
    ```
    """
    known, task = check_format(format), task_of(model)
    count = None if batch_size == DYNAMIC else check_positive_integer("batch_size", batch_size)
    sides = _sides(model, task, format, size)
    _check_output(output)
    photos = drawn_photos() if photos is None else photos
    reference = prepared(model, include_preprocessing=True)
    written = reference if include_preprocessing else prepared(model, include_preprocessing=False)
    signature = InferenceGraph(written).signature(count, sides)

    output = pathlib.Path(output).absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as folder:
        part = pathlib.Path(folder) / "new"
        part.mkdir()
        write(written, format, count, sides, str(part / known.file))
        manifest = {
            "format": format,
            "file": known.file,
            "task": task,
            "precision": "float32",
            "inputs": {name: list(shape) for name, shape in signature.inputs.items()},
            "outputs": list(signature.outputs),
            "gives_logits": signature.outputs[0] == "logits",
            "num_classes": getattr(model, "num_classes", None),
            "inference_settings": _settings(model, task, sides),
        }
        if not include_preprocessing:
            channels = signature.inputs["images"][-1]
            statistics = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
            manifest["normalization"] = {name: for_channels(rgb, channels).tolist() for name, rgb in statistics.items()}
        manifest = _plain(manifest)
        write_manifest(part, manifest)
        proof = prove(str(part), manifest, InferenceGraph(reference).inner, photos)
        if not proof.largest <= TOLERANCE:
            raise ValueError(
                f"The exported file does not compute what Keras does: {_differences(proof)} relative, more than "
                f"{TOLERANCE:g}. Nothing was written."
            )
        manifest |= _plain(
            {
                "difference": proof.difference,
                "seconds": {"keras": proof.keras_seconds, "file": proof.file_seconds},
                "compared": proof.batches,
                "backend": BACKEND,
                "versions": _versions(),
            }
        )
        write_manifest(part, manifest)
        _put_in_place(part, output)
    return manifest


def _sides(model, task, format, size):
    """Returns height and width, `None` for any."""
    fixed = task == "detection" or format == "litert"
    if size is None:
        size = DYNAMIC if task == "segmentation" and not fixed else default_size(model)
    if size == DYNAMIC and not fixed:
        return None, None
    if isinstance(size, str):
        why = ", as the anchors of a MaskRCNN and the shapes of LiteRT are constants" if size == DYNAMIC else ""
        raise ValueError(
            f"`size` must be an integer or (H, W){'' if fixed else f' or {DYNAMIC!r}'}{why}, got {size!r}."
        )
    sides = check_size("size", size)
    if min(sides) < MIN_IMAGE_SIZE:
        raise ValueError(f"`size` must be at least {MIN_IMAGE_SIZE} pixels, got {size!r}.")
    return sides


def _settings(model, task, sides):
    """Returns what inference needs to know, with the size that the file takes."""
    if task == "features":
        return {}
    settings = model.inference_settings.to_dict()
    if None in sides:
        return settings
    if task == "detection":
        sizes = {"image_size": sides}
        return {name: settings[name] for name in settings if name == "class_names"} | sizes
    name, with_it = {"classification": ("image_size", "crop_pct"), "segmentation": ("crop_size", "stride")}[task]
    if settings.get(name) not in (None, sides[0]):
        settings.pop(with_it, None)
    return settings | {name: sides[0]} if sides[0] == sides[1] else settings


def _check_output(output):
    """Checks that a folder is new, empty or holds an earlier export."""
    check_output_folder(output)
    if os.path.isdir(output) and os.listdir(output) and not os.path.isfile(os.path.join(output, NAME)):
        raise ValueError(f"{os.fspath(output)!r} holds other files: give a new folder, or that of an earlier export.")


def _put_in_place(new, output):
    """Moves a folder to where perhaps an earlier one is, which stays if that fails."""
    if output.exists():
        old = new.parent / "old"
        os.rename(output, old)
        try:
            os.rename(new, output)
        except OSError:
            os.rename(old, output)
            raise
    else:
        os.rename(new, output)


def _versions():
    """Returns the versions of the packages that had a part in the file."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _differences(proof):
    return ", ".join(f"{name} {value:.1e}" for name, value in proof.difference.items())


def _plain(value):
    """Returns a value as JSON reads it again: lists instead of tuples."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
