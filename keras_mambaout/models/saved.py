"""Saved models of this package, whatever they were built with."""

import importlib
import json
import os
import warnings
import zipfile

import keras

from keras_mambaout.serialization import PACKAGE


def load_saved_model(path):
    """Loads a `.keras` file, after importing what its model was built with.

    Keras finds classes that are registered, and those of `keras_mambaout.integrations` are only when
    they are imported. With that import, `keras.models.load_model` does the same.

    Args:
        path: `.keras` file.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such file.
        ImportError: If the library it was built with is not installed.
    """
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            module = json.loads(archive.read("config.json"))["module"] or ""
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path!r} is no .keras file, as `model.save(path)` writes it: {error}") from error
    if module.startswith(f"{PACKAGE}."):
        importlib.import_module(module)
    with warnings.catch_warnings():  # KerasHub's models compile themselves, with an optimizer that fits no file
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        return keras.models.load_model(path, compile=False)
