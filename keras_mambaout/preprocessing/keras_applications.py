"""The functions that each model of `keras.applications` has beside it."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.preprocessing.imagenet import imagenet_classes


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Normalises 0-255 RGB for models built with `include_preprocessing=False`.

    `y = (x / 255 - mean) / std` with ImageNet's mean and standard deviation of each channel. Models
    built with the default `include_preprocessing=True` do this themselves: give them 0-255.

    Args:
        x: Array or tensor `(..., H, W, 3)`, or `(..., 3, H, W)` with channels first, of 0-255.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Returns:
        The same shape, in floating point. A float NumPy array is changed in place.

    Example:
    ```python
    model = keras_mambaout.MambaOutTiny(include_preprocessing=False)
    model.predict(keras_mambaout.preprocess_input(images))
    ```
    """
    return keras.applications.imagenet_utils.preprocess_input(x, data_format=data_format, mode="torch")


def decode_predictions(
    preds: Any, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[str | int, str, float]]]:
    """The most probable classes of each image, with their names: ImageNet's, or others.

    Args:
        preds: Array or tensor `(B, classes)` of probabilities or logits.
        top: How many classes per image, from 1 to all of them.
        class_names: Name of each class, such as `model.inference_settings.class_names`; `None` is for the 1000
            classes of ImageNet.

    Returns:
        For each image a list of `top` tuples `(synset id, name, score)`, the highest score first, as
        `keras.applications.imagenet_utils.decode_predictions` returns them, without its download. With
        `class_names`, the tuples are `(number of the class, name, score)`.

    Raises:
        ValueError: If `preds` has a different shape, or `top` is out of range.

    Example:
    ```python
    keras_mambaout.decode_predictions(model.predict(images), top=1)
    # [[("n02504458", "African_elephant", 0.93)]]
    keras_mambaout.decode_predictions(flowers.predict(images), top=1, class_names=["daisy", "rose"])
    # [[(1, "rose", 0.97)]]
    ```
    """
    scores = keras.ops.convert_to_numpy(preds).astype("float32")
    classes = imagenet_classes() if class_names is None else tuple(enumerate(class_names))
    if scores.ndim != 2 or scores.shape[1] != len(classes):
        what = "the 1000 ImageNet classes" if class_names is None else f"the {len(classes)} `class_names`"
        raise ValueError(
            f"`preds` must be a batch of scores of {what}, (B, {len(classes)}), got shape {scores.shape}. For a model "
            "with classes of its own, give their names as `class_names`."
        )
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= len(classes):
        raise ValueError(f"`top` must be an integer from 1 to {len(classes)}, got {top!r}.")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [[(*classes[i], float(row[i])) for i in indices] for row, indices in zip(scores, best, strict=True)]
