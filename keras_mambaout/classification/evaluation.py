"""A classifier's accuracy on a data set."""

from typing import Any

import keras
import numpy as np

from keras_mambaout.classification.dataset import ClassificationDataset
from keras_mambaout.classification.inference import check_scores
from keras_mambaout.data.progress import progress_bar
from keras_mambaout.inference_settings import ClassificationSettings, settings_of
from keras_mambaout.scores import gives_logits

TOP = 5


def evaluate_classifier(
    model: keras.Model,
    dataset: ClassificationDataset,
    batch_size: int = 32,
    image_size: int | None = None,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Returns top-1 and top-5 accuracy and the loss of a classifier on a data set.

    `top-k = (images whose class is among the k with the highest scores) / (images)`. Unreadable images
    are left out; `dataset.unreadable` names them.

    Args:
        model: A `keras.Model` whose `predict_on_batch` takes images 0-255 `(B, S, S, 3)` and returns
            probabilities or logits `(B, classes)`.
        dataset: A `ClassificationDataset`.
        batch_size: Images in a batch. All batches have this size (what fills up the last one does not
            count), so that JAX compiles once.
        image_size: Height and width of the images, in pixels; by default the model's, as for `classify`.
        crop_pct: As for `classify`.
        crop_mode: As for `classify`.
        verbose: 1 shows a progress bar, 0 none, `"auto"` shows one if stdout is a terminal.

    Returns:
        Dict with `"top1"` and `"top5"`, 0 to 1, `"loss"`, the mean cross entropy, `"images"`, how many
        were evaluated, and `"classes"`, a list of dicts of `"name"`, `"accuracy"` (NaN without images), `"images"` and
        `"predictions"`: how many images of the class were taken for each class, `{name: count}`. With five classes or
        fewer `"top5"` is 1. There is no `"loss"` if it is unknown whether the model returns probabilities or logits:
        its last layer must have the activation softmax or none.

    Raises:
        ValueError: If the model has another number of classes than the data set, its output is not
            `(B, classes)` or not a number, or an argument is outside of what is listed above.

    Example:
    ```python
    dataset = ClassificationDataset.from_tfds("imagenet2012", split="validation")
    metrics = evaluate_classifier(keras_mambaout.MambaOutFemto(), dataset, image_size=288)
    print(f"{metrics['top1']:.2%}")  # 79.91%
    ```
    """
    crop = settings_of(model, ClassificationSettings).options(image_size, crop_pct, crop_mode)
    batches = dataset.batches(batch_size, **crop, weighted=True)
    update = progress_bar(len(dataset), verbose, "image")
    from_logits = gives_logits(model)
    labelled, ranked, losses = [], [], []
    for step, (images, labels, weights) in enumerate(batches.as_numpy_iterator(), start=1):
        scores = _scores(model.predict_on_batch(images), dataset)
        counts = weights > 0
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]  # (B, 5)
        labelled.append(labels[counts])
        ranked.append(best[counts])
        if from_logits is not None:
            loss = keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits)
            losses.append(keras.ops.convert_to_numpy(loss)[counts])
        update(min(step * batch_size, len(dataset)))
    labelled, ranked = np.concatenate(labelled), np.concatenate(ranked)
    hits = ranked == labelled[:, None]
    metrics = {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean())}
    if from_logits is not None:
        metrics["loss"] = float(np.concatenate(losses).mean(dtype="float64"))
    return {**metrics, "images": len(hits), "classes": _by_class(labelled, ranked[:, 0], dataset.class_names)}


def _by_class(labels, predictions, class_names):
    """Returns the accuracy of each class, and what its images were taken for."""
    rows = []
    for index, name in enumerate(class_names):
        taken_for, counts = np.unique(predictions[labels == index], return_counts=True)
        total, right = int(counts.sum()), int(counts[taken_for == index].sum())
        named = {class_names[other]: int(count) for other, count in zip(taken_for, counts, strict=True)}
        accuracy = right / total if total else float("nan")
        rows.append({"name": name, "accuracy": accuracy, "images": total, "predictions": named})
    return rows


def _scores(predictions, dataset):
    """Returns a model's output as a float32 array `(B, classes)`, checked to fit the data set."""
    scores = check_scores(predictions)
    if scores.shape[1] != dataset.num_classes:
        raise ValueError(
            f"The model has {scores.shape[1]} classes, the data set has {dataset.num_classes}. Make the model with "
            f"classes={dataset.num_classes}, or give the data set the `class_names` that the model was trained with."
        )
    return scores
