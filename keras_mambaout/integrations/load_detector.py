"""Loads a saved detector without knowing what it was made with."""

import importlib
import json
import zipfile

import keras

from keras_mambaout.layers.common import PACKAGE


def load_detector(path):
    """Loads a detector from a `.keras` file and imports what it was built with.

    Keras finds classes that are registered, and those of `keras_mambaout.integrations` are from when
    they are imported. With that import, `keras.models.load_model` does the same.

    Args:
        path: `.keras` file.

    Returns:
        The detector, not compiled.

    Raises:
        ValueError: If there is no such file, or it holds no detector.
        ImportError: If the library it was built with is not installed.

    Example:
    ```python
    detector = load_detector("detector.keras")
    detector.predict(images)
    ```
    """
    try:
        with zipfile.ZipFile(path) as archive:
            module = json.loads(archive.read("config.json"))["module"]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path!r} is no .keras file, as `detector.save(path)` writes it: {error}") from error
    if module.startswith(f"{PACKAGE}."):
        importlib.import_module(module)
    model = keras.models.load_model(path, compile=False)
    if not hasattr(model, "bounding_box_format"):
        raise ValueError(f"{path!r} holds a {type(model).__name__}, which is no detector (no `bounding_box_format`).")
    return model
