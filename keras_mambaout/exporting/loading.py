"""Predicting with an exported model, on NumPy, Pillow and the runtime of its file alone."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mambaout.exporting.formats import FORMATS
from keras_mambaout.exporting.manifest import NAME, read_manifest
from keras_mambaout.exporting.runtimes import open_file
from keras_mambaout.inference_settings import ClassificationSettings, DetectionSettings, SegmentationSettings

SETTINGS = {
    "classification": ClassificationSettings,
    "detection": DetectionSettings,
    "segmentation": SegmentationSettings,
}


def names_exported(path: str | os.PathLike) -> bool:
    """Returns whether a path is that of an exported model: its file or the folder with its manifest."""
    path = pathlib.Path(path)
    return any((folder / NAME).is_file() for folder in (path, path.parent)) and (
        path.is_dir() or path.name in {known.file for known in FORMATS.values()} | {NAME}
    )


def load_exported(path: str | os.PathLike, threads: int | None = None) -> "ExportedModel":
    """Opens what `keras_mambaout.export` wrote.

    Neither Keras nor TensorFlow, JAX or PyTorch is needed, unless the format is TensorFlow's or PyTorch's: the extras
    `serve-onnx`, `serve-openvino` and `serve-litert` bring the runtimes of the others.

    Args:
        path: The folder, or the file in it.
        threads: Threads that the runtime uses for an operation; `None` leaves it to the runtime.

    Returns:
        A model for `classification.classify`, `detection.detect` or `segmentation.segment`.

    Raises:
        ValueError: If there is no such model, a file of it is damaged or missing, or its manifest was changed.
        ImportError: If the runtime is not installed.

    Example:
    ```python
    from keras_mambaout.classification import classify

    model = keras_mambaout.load_exported("flowers-onnx")
    (found,) = classify(model, [keras_mambaout.load_image("photo.jpg")])
    ```
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ValueError(f"There is no exported model {str(path)!r} (working directory {os.getcwd()!r}).")
    folder = path if (path / NAME).is_file() or (path.is_dir() and not (path.parent / NAME).is_file()) else path.parent
    manifest = read_manifest(folder)
    return ExportedModel(manifest, open_file(folder, manifest, threads))


class ExportedModel:
    """An exported model, with what `classify`, `detect` and `segment` ask of a model.

    Args:
        manifest: What `export` wrote beside the file.
        run: Function of a dict of arrays that returns one, the runtime.
    """

    def __init__(self, manifest: Mapping[str, Any], run: Any):
        self.manifest, self._run = manifest, run
        self.task = manifest["task"]
        settings = SETTINGS.get(self.task)
        self.inference_settings = None if settings is None else settings(**manifest["inference_settings"])
        self.num_classes = manifest["num_classes"]
        self.gives_logits = manifest["gives_logits"]
        if self.task == "detection":
            self.bounding_box_format, self.takes_sizes = "xyxy", True

    def predict_on_batch(self, x: Any) -> Any:
        """Returns what the Keras model's `predict_on_batch` returns.

        Args:
            x: Images `(B, H, W, C)`, 0-255; of a detector also a dict of `"images"` and `"sizes"`.

        Returns:
            An array of scores, or a dict of arrays of a detector or a backbone.

        Raises:
            ValueError: If the file takes other heights, widths or channels.
        """
        outputs = self.run(self._arrays(x))
        return outputs if self.task in ("detection", "features") else next(iter(outputs.values()))

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of the file by name for its inputs by name, of any number of images."""
        arrays = self._normalized(arrays)
        count = len(arrays["images"])
        at_once = self.manifest["inputs"]["images"][0] or count
        parts = []
        for start in range(0, count, at_once):
            part = {name: array[start : start + at_once] for name, array in arrays.items()}
            number = len(part["images"])
            part = {name: _filled_up(array, at_once) for name, array in part.items()}
            parts.append({name: array[:number] for name, array in self._run(part).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.manifest["outputs"]}

    def _arrays(self, x):
        images = np.asarray(x["images"] if isinstance(x, Mapping) else x, "float32")
        wanted = self.manifest["inputs"]["images"]
        fits = [side in (None, given) for side, given in zip(wanted, (None, *images.shape[1:]), strict=False)]
        if images.ndim != 4 or not all(fits[1:]):
            shape = ", ".join("any" if side is None else str(side) for side in wanted[1:])
            raise ValueError(
                f"This exported model takes images (B, {shape}), got shape {images.shape}: resize them, or export the "
                "model for other sizes."
            )
        if not len(images):
            raise ValueError("An exported model takes one image or more, got none.")
        arrays = {"images": images}
        if "sizes" in self.manifest["inputs"]:
            given = x["sizes"] if isinstance(x, Mapping) else [images.shape[1:3]] * len(images)
            arrays["sizes"] = np.asarray(given, "int32")
        return arrays

    def _normalized(self, arrays):
        """Does what the file leaves to the caller, if it was exported so."""
        statistics = self.manifest.get("normalization")
        if statistics is None:
            return dict(arrays)
        mean, std = (np.array(statistics[name], "float32") for name in ("mean", "std"))
        return {**arrays, "images": (arrays["images"] / 255 - mean) / std}


def _filled_up(array, count):
    """Returns an array with at least `count` rows, the last one repeated."""
    return array if len(array) >= count else np.concatenate([array, np.repeat(array[-1:], count - len(array), axis=0)])
