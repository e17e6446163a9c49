"""From a detector's output to COCO's format of results."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.detection.box_formats import check_box_format
from keras_mambaout.detection.predicted_masks import encode_masks


def detections_to_results(
    predictions: Mapping[str, Any],
    image_ids: Sequence[int] | np.ndarray,
    scales: np.ndarray,
    category_ids: Sequence[int],
    bounding_box_format: str,
    image_size: tuple[int, int] | None = None,
    original_sizes: Sequence[tuple[int, int]] | None = None,
) -> list[dict[str, Any]]:
    """Maps detections back to the original images and returns them as COCO's results.

    `x_original = x_resized / scale_x`, and the same with y; images stand at the top left of a batch.

    Args:
        predictions: Dict of arrays: `"boxes"` `(B, N, 4)` in `bounding_box_format`, `"confidence"`
            `(B, N)` and `"classes"` or `"labels"` `(B, N)`. Rows of class -1, and those from
            `"num_detections"` `(B,)` on, if it is there, are padding. `"masks"` `(B, N, M, M)`, from 0 to 1
            in the frames of their boxes, are needed with `original_sizes`.
        image_ids: Ids of the images, `(B,)`.
        scales: `(B, 2)`, the resized by the original height and width.
        category_ids: The category id of each class.
        bounding_box_format: One of `detection.boxes.BOX_FORMATS`.
        image_size: `(H, W)` of the batch, which relative boxes are relative to.
        original_sizes: `(B, 2)`, heights and widths of the original images; with them results have masks.

    Returns:
        List of `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`, with
        `original_sizes` also `"segmentation"`, run lengths as `encode_masks` returns them.

    Raises:
        ValueError: If a key is missing, shapes do not fit, or a class has no category.
        ImportError: If masks are asked for and pycocotools is not installed.

    Example:
    ```python
    images, labels = next(iter(dataset.batches(8, image_size=640)))
    results = detections_to_results(
        model.predict_on_batch(images), labels["image_id"], labels["scale"], dataset.category_ids, "xyxy"
    )
    ```

    Source: [COCO's format of results](https://cocodataset.org/#format-results)
    """
    boxes, confidence, classes = _read(predictions, len(image_ids))
    boxes = _to_xyxy(boxes, bounding_box_format, image_size)
    scales = np.asarray(scales, "float64")  # (B, 2)
    valid = (classes >= 0) & np.isfinite(boxes).all(-1) & np.isfinite(confidence)
    if "num_detections" in predictions:
        valid &= np.arange(classes.shape[1]) < np.asarray(predictions["num_detections"])[:, None]
    if np.any(classes[valid] >= len(category_ids)):
        raise ValueError(
            f"The predictions have the class {int(np.max(classes[valid]))}, the data set has {len(category_ids)} "
            f"classes, 0 to {len(category_ids) - 1}. The model must be made with num_classes={len(category_ids)}."
        )
    boxes = boxes / scales[:, None, [1, 0, 1, 0]]
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    results = [
        {
            "image_id": int(image_ids[image]),
            "category_id": int(category_ids[int(classes[image, row])]),
            "bbox": [*boxes[image, row, :2].tolist(), *sides[image, row].tolist()],
            "score": float(confidence[image, row]),
        }
        for image, row in np.argwhere(valid)
    ]
    if original_sizes is None:
        return results
    masks = _read_masks(predictions, classes.shape)
    segmentations = [
        runs
        for image, rows in enumerate(valid)
        for runs in encode_masks(masks[image][rows], boxes[image][rows], original_sizes[image])
    ]
    return [{**result, "segmentation": runs} for result, runs in zip(results, segmentations, strict=True)]


def _read(predictions, batch_size):
    keys = sorted(predictions) if isinstance(predictions, dict) else []
    classes = next((key for key in ("classes", "labels") if key in keys), None)
    if classes is None or "boxes" not in keys or "confidence" not in keys:
        given = f"a dict with {', '.join(map(repr, keys))}" if keys else type(predictions).__name__
        raise ValueError(
            f"Predictions must be a dict with 'boxes', 'confidence' and 'classes' or 'labels', got {given}. A model "
            "that puts out raw heads must decode its boxes in `predict_on_batch`."
        )
    arrays = [np.asarray(predictions[key], "float64") for key in ("boxes", "confidence", classes)]
    boxes, confidence, labels = arrays
    if boxes.ndim != 3 or boxes.shape[::2] != (batch_size, 4) or {confidence.shape, labels.shape} != {boxes.shape[:2]}:
        raise ValueError(
            f"Predictions must have 'boxes' (B, N, 4), 'confidence' (B, N) and {classes!r} (B, N) for {batch_size} "
            f"images, got shapes {boxes.shape}, {confidence.shape} and {labels.shape}."
        )
    return arrays


def _read_masks(predictions, shape):
    if "masks" not in predictions:
        raise ValueError(
            f"Masks need predictions with 'masks', got {', '.join(map(repr, sorted(predictions)))}. This model finds "
            "boxes only: evaluate boxes, or use one that finds masks, as MaskRCNN does."
        )
    masks = np.asarray(predictions["masks"])
    if masks.ndim != 4 or masks.shape[:2] != shape or masks.shape[2] != masks.shape[3]:
        raise ValueError(
            f"Predictions must have 'masks' (B, N, M, M) in the frames of their boxes, for boxes of shape "
            f"{(*shape, 4)}, got shape {masks.shape}."
        )
    return masks


def _to_xyxy(boxes, bounding_box_format, image_size):
    check_box_format(bounding_box_format)
    if bounding_box_format.startswith("rel_") and image_size is None:
        raise ValueError(f"Boxes as {bounding_box_format!r} need `image_size`, the (height, width) of the batch.")
    height, width = (None, None) if image_size is None else (float(side) for side in image_size)
    boxes = keras.utils.bounding_boxes.convert_format(
        boxes.astype("float32"), source=bounding_box_format, target="xyxy", height=height, width=width
    )
    return keras.ops.convert_to_numpy(boxes).astype("float64")
