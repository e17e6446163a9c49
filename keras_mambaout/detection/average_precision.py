"""COCO's mean average precision, by pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.detection.annotation_checks import (
    annotation_problems,
    check_categories,
    image_problems,
    image_sizes,
    raise_problems,
)
from keras_mambaout.detection.annotations import LISTS
from keras_mambaout.detection.segmentation_checks import is_integer, show
from keras_mambaout.extras import import_extra

METRICS = {  # name -> range of areas, IoU threshold (None: the mean of all ten)
    "AP": ("all", None),
    "AP50": ("all", 0.5),
    "AP75": ("all", 0.75),
    "APs": ("small", None),
    "APm": ("medium", None),
    "APl": ("large", None),
}
RESULT_KEYS = {"bbox": "bbox", "segm": "segmentation"}  # iou_type -> what results must have
IOU_TYPES = tuple(RESULT_KEYS)


def coco_metrics(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_type: str = "bbox",
    max_detections: int = 100,
) -> dict[str, float]:
    """Returns COCO's average precision.

    `AP = mean of p(class, IoU, recall)` over the classes that have objects, the IoU thresholds 0.50,
    0.55, ..., 0.95 and the recalls 0, 0.01, ..., 1, where `p` is the highest precision at that recall
    or a higher one. `AP50` and `AP75` are at one threshold; `APs`, `APm` and `APl` over objects of areas
    below 32^2, up to 96^2, and above. What a crowd covers counts neither for nor against.

    Args:
        ground_truth: Labels in COCO's format, as `CocoDataset.ground_truth` has them.
        results: Detections in COCO's format, as `detections_to_results` returns them. Those on images
            that are not in `ground_truth` are left out.
        iou_type: `"bbox"`, or `"segm"` for masks.
        max_detections: How many detections of an image and class count, those of the highest scores.

    Returns:
        `{"AP", "AP50", "AP75", "APs", "APm", "APl"}`, floats from 0 to 1; NaN where there are no
        objects of that size.

    Raises:
        ValueError: If `iou_type` or `max_detections` is outside of what is listed above, entries lack the
            boxes or masks that `iou_type` compares, or are wrong in another way.
        ImportError: If pycocotools is not installed.

    Example:
    ```python
    coco_metrics(dataset.ground_truth, results)["AP"]  # 0.412
    ```

    Source: [COCO's detection evaluation](https://cocodataset.org/#detection-eval)
    """
    check_choice("iou_type", iou_type, IOU_TYPES)
    check_positive_integer("max_detections", max_detections)
    _check(ground_truth, results, iou_type)
    return measure(ground_truth, results, iou_type, max_detections)


def measure(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], iou_type: str, max_detections: int
) -> dict[str, float]:
    """Returns what `coco_metrics` does, of labels and results that are known to be right."""
    coco, cocoeval = import_extra("pycocotools.coco"), import_extra("pycocotools.cocoeval")
    images = {image["id"] for image in ground_truth["images"]}
    objects = [item for item in ground_truth["annotations"] if item["image_id"] in images]
    detections = [item for item in results if item["image_id"] in images]
    check_entries("ground truth", objects, iou_type)
    check_entries("results", detections, iou_type)

    evaluation = cocoeval.COCOeval(
        _index(coco, ground_truth, objects), _index(coco, ground_truth, _with_area(detections, iou_type)), iou_type
    )
    evaluation.params.maxDets = [max_detections]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    thresholds, ranges = evaluation.params.iouThrs, evaluation.params.areaRngLbl
    precision = evaluation.eval["precision"][..., 0]  # (thresholds, recalls, classes, ranges)
    metrics = {}
    for name, (area, threshold) in METRICS.items():
        rows = slice(None) if threshold is None else np.isclose(thresholds, threshold)
        values = precision[rows][..., ranges.index(area)]
        values = values[values > -1]  # -1: no objects of this class and size
        metrics[name] = float(np.mean(values)) if values.size else float("nan")
    return metrics


def check_entries(name: str, entries: Sequence[Mapping[str, Any]], iou_type: str) -> None:
    """Raises a `ValueError` if labels or results lack the boxes or masks that an `iou_type` compares."""
    key = RESULT_KEYS[iou_type]
    missing = sum(entry.get(key) is None or len(entry[key]) == 0 for entry in entries)
    if missing:
        raise ValueError(f"iou_type={iou_type!r} needs {key!r}; {missing} of {len(entries)} {name} have none.")


def _check(ground_truth, results, iou_type):
    """Raises a `ValueError` unless labels and results are right; entries of other images do not matter."""
    given = [ground_truth.get(name) if isinstance(ground_truth, Mapping) else None for name in LISTS]
    if not all(isinstance(entries, (list, tuple)) for entries in (*given, results)):
        raise ValueError(
            f"`ground_truth` must be a dict of the lists {', '.join(map(repr, LISTS))} and `results` a list, got "
            f"{show(ground_truth)} and {show(results)}."
        )
    images, annotations, categories = given
    raise_problems("`ground_truth`", "images", images, image_problems(images))
    categories, sizes = check_categories(categories, "`ground_truth`"), image_sizes(images)
    needs = ("bbox",) if iou_type == "bbox" else ()
    for source, name, entries, known, keys in (
        ("`ground_truth`", "annotations", annotations, categories, needs),
        ("`results`", "results", results, None, ("score", *needs)),
    ):
        entries = [item for item in entries if not _is_of_another_image(item, sizes)]
        problems = annotation_problems(entries, sizes, known, keys)
        if name == "results":
            problems = {**_uncompressed(entries, iou_type), **problems}
        raise_problems(source, name, entries, problems)


def _is_of_another_image(item, sizes):
    return isinstance(item, dict) and is_integer(item.get("image_id")) and item["image_id"] not in sizes


def _uncompressed(results, iou_type):
    """Returns what is wrong with results whose masks are not compressed, which pycocotools does not take."""
    text = "'segmentation' must be compressed run lengths, as `encode_masks` returns them, got "
    given = ((row, item["segmentation"]) for row, item in enumerate(results) if iou_type == "segm" and _has_mask(item))
    return {
        row: f"{text}{show(mask)}"
        for row, mask in given
        if not isinstance(mask, dict) or not isinstance(mask.get("counts"), (str, bytes))
    }


def _has_mask(item):
    return isinstance(item, dict) and item.get("segmentation") is not None


def _with_area(results, iou_type):
    if iou_type == "bbox":
        return [{**result, "area": _box_area(result)} for result in results]
    area = import_extra("pycocotools.mask").area
    return [{**result, "area": float(area(result["segmentation"]))} for result in results]


def _box_area(item):
    return item["bbox"][2] * item["bbox"][3] if "bbox" in item else 0


def _index(coco, ground_truth, annotations):
    """Returns pycocotools' index of copies, numbered from 1 (to it 0 means "no match")."""
    index = coco.COCO()
    index.dataset = {
        "images": ground_truth["images"],
        "categories": ground_truth["categories"],
        "annotations": [
            {"area": _box_area(item), "iscrowd": 0, **item, "id": number}
            for number, item in enumerate(annotations, start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def format_coco_metrics(metrics: Mapping[str, float]) -> str:
    """Returns metrics as a table of one row, in Markdown; NaN is shown as a dash.

    Args:
        metrics: What `coco_metrics` returns.

    Example:
    ```python
    print(format_coco_metrics({"AP": 0.4123, "AP50": 0.6, "APs": float("nan")}))
    # |    AP |  AP50 |   APs |
    # | ----: | ----: | ----: |
    # | 0.412 | 0.600 |     - |
    ```
    """
    width = max(5, *map(len, metrics))
    numbers = ["-" if np.isnan(value) else f"{value:.3f}" for value in metrics.values()]
    rows = (metrics, ["-" * (width - 1) + ":"] * len(numbers), numbers)
    return "\n".join("| " + " | ".join(f"{cell:>{width}}" for cell in row) + " |" for row in rows)
