"""From a detector's output to COCO's format of results."""

import keras
import numpy as np
from PIL import Image

from keras_mambaout.detection.boxes import check_box_format
from keras_mambaout.extras import import_extra


def detections_to_results(
    predictions, image_ids, scales, category_ids, bounding_box_format, image_size=None, original_sizes=None
):
    """Maps detections back to the original images and returns them as COCO's results.

    `x_original = x_resized / scale_x`, and the same with y; images stand at the top left of a batch.

    Args:
        predictions: Dict of arrays: `"boxes"` `(B, N, 4)` in `bounding_box_format`, `"confidence"`
            `(B, N)` and `"classes"` or `"labels"` `(B, N)`. Rows of class -1, and those from
            `"num_detections"` `(B,)` on if it is there, are padding. `"masks"` `(B, N, H, W)`, values
            from 0 to 1 over the whole image, become `"segmentation"` where they are more than 0.5.
        image_ids: Ids of the images, `(B,)`.
        scales: `(B, 2)`, the resized by the original height and width.
        category_ids: The category id of each class.
        bounding_box_format: One of `detection.boxes.BOX_FORMATS`.
        image_size: `(H, W)` of the batch, which relative boxes are relative to.
        original_sizes: `(B, 2)`, heights and widths of the original images, for masks.

    Returns:
        List of `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`.

    Raises:
        ValueError: If a key is missing, shapes do not fit, or a class has no category.

    Example:
    ```python
    images, labels = next(iter(dataset.batches(image_size=640)))
    results = detections_to_results(
        model.predict_on_batch(images), labels["image_id"], labels["scale"], dataset.category_ids, "xyxy"
    )
    ```

    Source: [COCO's format of results](https://cocodataset.org/#format-results)
    """
    boxes, scores, classes = _read(predictions, len(image_ids))
    boxes = _to_xyxy(boxes, bounding_box_format, image_size)
    scales = np.asarray(scales, "float64")  # (B, 2)
    valid = (classes >= 0) & np.isfinite(boxes).all(-1) & np.isfinite(scores)
    if "num_detections" in predictions:
        valid &= np.arange(classes.shape[1]) < np.asarray(predictions["num_detections"])[:, None]
    if np.any(classes[valid] >= len(category_ids)):
        raise ValueError(
            f"The predictions have the class {int(np.max(classes[valid]))}, the data set has {len(category_ids)} "
            f"classes, 0 to {len(category_ids) - 1}. The model must be made with num_classes={len(category_ids)}."
        )
    boxes = boxes / scales[:, None, [1, 0, 1, 0]]
    boxes[..., 2:] = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)  # x, y, width, height

    results = []
    for image, row in np.argwhere(valid):
        result = {
            "image_id": int(image_ids[image]),
            "category_id": int(category_ids[int(classes[image, row])]),
            "bbox": boxes[image, row].tolist(),
            "score": float(scores[image, row]),
        }
        if original_sizes is not None and "masks" in predictions:
            mask = np.asarray(predictions["masks"][image][row])
            result["segmentation"] = _encode(mask, scales[image], original_sizes[image])
        results.append(result)
    return results


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
    boxes, scores, labels = arrays
    if boxes.ndim != 3 or boxes.shape[::2] != (batch_size, 4) or {scores.shape, labels.shape} != {boxes.shape[:2]}:
        raise ValueError(
            f"Predictions must have 'boxes' (B, N, 4), 'confidence' (B, N) and {classes!r} (B, N) for {batch_size} "
            f"images, got shapes {boxes.shape}, {scores.shape} and {labels.shape}."
        )
    return arrays


def _to_xyxy(boxes, bounding_box_format, image_size):
    check_box_format(bounding_box_format)
    if bounding_box_format.startswith("rel_") and image_size is None:
        raise ValueError(f"Boxes as {bounding_box_format!r} need `image_size`, the (height, width) of the batch.")
    height, width = (None, None) if image_size is None else (float(side) for side in image_size)
    boxes = keras.utils.bounding_boxes.convert_format(
        boxes.astype("float32"), source=bounding_box_format, target="xyxy", height=height, width=width
    )
    return keras.ops.convert_to_numpy(boxes).astype("float64")


def _encode(mask, scale, original_size):
    """Returns the run lengths of a mask of the padded image, at the size of the original image."""
    height, width = (int(side) for side in original_size)
    rows, columns = np.round(np.multiply(scale, (height, width))).astype(int)
    mask = Image.fromarray(mask[:rows, :columns].astype("float32")).resize((width, height), Image.Resampling.BILINEAR)
    runs = import_extra("pycocotools.mask").encode(np.asfortranarray(np.asarray(mask) > 0.5, "uint8"))
    return {"size": runs["size"], "counts": runs["counts"].decode()}
