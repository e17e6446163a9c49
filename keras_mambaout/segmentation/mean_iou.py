"""How well the classes of pixels are found: intersection over union."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IGNORED = 255


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, ignore_index: int = IGNORED
) -> np.ndarray:
    """Counts pixels by their class and the class that was predicted.

    Args:
        labels: Integers of any shape, from 0 to `num_classes - 1` or `ignore_index`.
        predictions: Integers of the same shape, from 0 to `num_classes - 1` where labels are not ignored.
        num_classes: Number of classes.
        ignore_index: Label of pixels that do not count.

    Returns:
        An int64 array `(num_classes, num_classes)`: rows are labels, columns predictions. The
        matrices of several images can be added up.

    Raises:
        ValueError: If shapes differ or a class is out of range.

    Example:
    ```python
    confusion = sum(confusion_matrix(labels, classes, 150) for labels, classes in results)
    segmentation_metrics(confusion)["mIoU"]
    ```
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError(
            f"Labels and predictions must have the same shape, got {labels.shape} and {predictions.shape}."
        )
    counted = labels != ignore_index
    labels, predictions = (values[counted].astype("int64") for values in (labels, predictions))
    for name, values in (("Labels", labels), ("Predictions", predictions)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(
                f"{name} must be classes from 0 to {num_classes - 1} with num_classes={num_classes}, got values from "
                f"{values.min()} to {values.max()}."
            )
    counts = np.bincount(num_classes * labels + predictions, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def segmentation_metrics(confusion: np.ndarray, class_names: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns the metrics of ADE20K.

    With `tp` the pixels of a class that are found, `fn` those that are not, and `fp` the pixels of other classes that
    are taken for it, `IoU = tp / (tp + fn + fp)` and `accuracy = tp / (tp + fn)`, each NaN for a class without such
    pixels, which the means leave out.

    Args:
        confusion: What `confusion_matrix` returns, summed over all images.
        class_names: Name of each class; `None` takes their numbers.

    Returns:
        Dict of `"mIoU"`, `"mean_accuracy"`, `"pixel_accuracy"` (the share of pixels with the right class), from 0 to
        1, and `"classes"`, a list of dicts of `"name"`, `"IoU"`, `"accuracy"` and `"pixels"`, how many have this label.

    Raises:
        ValueError: If the matrix is not square, without pixels, or has another number of classes.

    Example:
    ```python
    metrics = segmentation_metrics(confusion, dataset.class_names)
    metrics["mIoU"], metrics["classes"][0]  # 0.474, {"name": "wall", "IoU": 0.77, ...}
    ```

    Source: `mIoU`, `mAcc` and `aAcc` of [mmsegmentation](https://github.com/open-mmlab/mmsegmentation)
    """
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or not confusion.sum():
        raise ValueError(
            f"`confusion` must be a square matrix with counts, got shape {confusion.shape} with {confusion.sum()} "
            "pixels. Pixels that are ignored are not counted."
        )
    names = [str(number) for number in range(len(confusion))] if class_names is None else list(class_names)
    if len(names) != len(confusion):
        raise ValueError(
            f"`class_names` must be {len(confusion)} names, one for each row of `confusion`, got {len(names)}."
        )
    right, labelled, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    union = labelled + predicted - right
    with np.errstate(invalid="ignore"):
        iou, accuracy = right / union, right / labelled
    rows = zip(names, iou.tolist(), accuracy.tolist(), labelled.tolist(), strict=True)
    return {
        "mIoU": float(np.nanmean(iou)),
        "mean_accuracy": float(np.nanmean(accuracy)),
        "pixel_accuracy": float(right.sum() / labelled.sum()),
        "classes": [dict(zip(("name", "IoU", "accuracy", "pixels"), row, strict=True)) for row in rows],
    }


def format_segmentation_metrics(metrics: Mapping[str, Any], classes: bool = True) -> str:
    """Returns metrics as lines of text, with a table of the classes that occur.

    Args:
        metrics: What `segmentation_metrics` returns.
        classes: Whether the table is added.
    """
    lines = [f"{name:<14} {metrics[name]:6.2%}" for name in ("mIoU", "mean_accuracy", "pixel_accuracy")]
    if classes:
        rows = [row for row in metrics["classes"] if not np.isnan(row["IoU"])]
        width = max(5, *(len(row["name"]) for row in rows))
        pixels = sum(row["pixels"] for row in rows)
        lines += ["", f"{'class':<{width}}     IoU  accuracy  share of pixels"]
        for row in rows:
            share = row["pixels"] / pixels
            lines.append(f"{row['name']:<{width}} {row['IoU']:7.2%}   {_percent(row['accuracy'])}  {share:15.2%}")
        absent = len(metrics["classes"]) - len(rows)
        lines += [f"({absent} classes are neither labelled nor predicted)"] * (absent > 0)
    return "\n".join(lines)


def _percent(value):
    return "      -" if np.isnan(value) else f"{value:7.2%}"
