"""Saved models of this package, whatever they were built with."""

import importlib
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import keras

from keras_mambaout.serialization import PACKAGE


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a `.keras` file that was saved with this package: a backbone, classifier, detector or segmentation model.

    Keras finds classes once the modules that define them are imported. This function imports the modules of
    `keras_mambaout` that the file names, the detectors of `keras_mambaout.integrations` included, and leaves the
    rest to `keras.models.load_model`. To continue a training with the saved optimizer, import the module yourself
    and call `keras.models.load_model`.

    Args:
        path: Path of a `.keras` file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such file, or it is not a `.keras` file.
        ImportError: If the library that the model was built with is not installed.

    Example:
    ```python
    detector = keras_mambaout.load_model("detector.keras")
    (found,) = detect(detector, [keras_mambaout.load_image("photo.jpg")])
    ```
    """
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path!r} is not a .keras file, as `model.save(path)` writes it: {error}") from error
    for module in sorted(set(_modules(config))):
        if module.startswith(f"{PACKAGE}."):
            _import(module)
    with warnings.catch_warnings():  # KerasHub's models compile themselves, with an optimizer that fits no file
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        return keras.models.load_model(path, compile=False)


def _modules(config: Any) -> Iterator[str]:
    """Yields the modules of all classes in a configuration."""
    if isinstance(config, dict):
        if isinstance(config.get("module"), str):
            yield config["module"]
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _modules(part)


def _import(module: str) -> None:
    """Imports a module; one that has moved since is in one of the packages above it, and Keras finds its classes."""
    while module != PACKAGE:
        try:
            importlib.import_module(module)
            return
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it needs is not
            module = module.rpartition(".")[0]
