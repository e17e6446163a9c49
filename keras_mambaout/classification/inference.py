"""The classes of photos of any size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.inference_settings import ClassificationSettings, settings_of
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.scores import gives_logits, softmax


def classify(
    model: Any,
    photos: Sequence[np.ndarray],
    image_size: int | None = None,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    top: int = 5,
    batch_size: int = 32,
    class_names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Returns the most probable classes of photos.

    A square is cut out of each photo by `resize_and_center_crop`, as for the accuracy on ImageNet. What is not given
    of its size, its crop and the names is that of the model, `model.inference_settings`.

    Args:
        model: A `keras.Model` whose `predict_on_batch` takes images 0-255 `(B, S, S, 3)` and returns
            probabilities or logits `(B, classes)`. Logits, those of a last layer without activation, are
            turned into probabilities.
        photos: List of uint8 arrays `(H, W, 3)` of any sizes, as `load_image` returns them.
        image_size: Height and width of the square, in pixels; by default the model's, else 224.
        crop_pct: As for `resize_and_center_crop`; by default the model's at its own size, else 1.0.
        crop_mode: As for `resize_and_center_crop`; by default the model's, else `"center"`.
        top: How many classes of each photo; all of them if the model has fewer.
        batch_size: Photos at a time.
        class_names: Name of each class; by default the model's, if it has any.

    Returns:
        For each photo a dict of arrays by descending confidence: `"classes"` `(top,)`, integers, and
        `"confidence"` `(top,)`, from 0 to 1; where names are known also `"names"`, a list.

    Raises:
        ValueError: If the model's output is not `(B, classes)`, not a number or no probability, the names
            are not as many as the classes, or an argument is outside of what is listed above.

    Example:
    ```python
    photo = keras_mambaout.load_image("photo.jpg")
    (found,) = classify(model, [photo])
    print(found["names"][0], found["confidence"][0])  # tulips 0.97
    ```
    """
    check_positive_integer("top", top)
    check_positive_integer("batch_size", batch_size)
    settings = settings_of(model, ClassificationSettings)
    crop = settings.options(image_size, crop_pct, crop_mode)
    class_names = settings.class_names if class_names is None else class_names
    from_logits = gives_logits(model)
    found = []
    for start in range(0, len(photos), batch_size):
        chosen = photos[start : start + batch_size]
        inputs = np.stack([resize_and_center_crop(photo, *crop.values()) for photo in chosen])
        scores = check_scores(model.predict_on_batch(inputs.astype("float32")))  # (B, classes)
        _check_names(class_names, scores.shape[1])
        confidence = _probabilities(scores, from_logits)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        for classes, row in zip(best, confidence, strict=True):
            found.append({"classes": classes, "confidence": row[classes]})
            if class_names is not None:
                found[-1]["names"] = [class_names[index] for index in classes]
    return found


def check_scores(predictions: Any) -> np.ndarray:
    """Returns a classifier's output as a float32 array `(B, classes)`, checked."""
    if isinstance(predictions, (dict, list, tuple)) or np.ndim(predictions) != 2:
        given = type(predictions).__name__ if np.ndim(predictions) == 0 else f"shape {np.shape(predictions)}"
        raise ValueError(f"The model must return one array of scores (B, classes), got {given}.")
    scores = np.asarray(predictions, "float32")
    if np.isnan(scores).any():
        raise ValueError("The model's output is not a number (NaN): its training has diverged or its weights are bad.")
    return scores


def _check_names(class_names, count):
    if class_names is not None and len(class_names) != count:
        raise ValueError(
            f"`class_names` must be one name for each of the {count} classes of the model, got {len(class_names)}."
        )


def _probabilities(scores, from_logits):
    if from_logits:
        return softmax(scores)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            f"The model's output must be probabilities, from 0 to 1, got {scores.min():g} to {scores.max():g}. Logits "
            "are recognised if the last layer has no activation: otherwise put keras.layers.Softmax() after it."
        )
    return scores
