"""Loads a saved detector without knowing what it was made with."""

from keras_mambaout.models.saved import load_saved_model


def load_detector(path):
    """Loads a detector from a `.keras` file and imports what it was built with.

    `keras.models.load_model` does the same after `import keras_mambaout.integrations.keras_hub`, or
    `keras_cv`, or for Mask R-CNN `keras_mambaout.detection`.

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
    model = load_saved_model(path)
    if not hasattr(model, "bounding_box_format"):
        raise ValueError(f"{path!r} holds a {type(model).__name__}, which is no detector (no `bounding_box_format`).")
    return model
