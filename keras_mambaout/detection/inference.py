"""Objects in photos of any size, in pixels of the photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.detection.box_formats import box_format_of, to_corners
from keras_mambaout.detection.predicted_masks import encode_masks, paste_masks
from keras_mambaout.detection.resizing import ResizeRule
from keras_mambaout.inference_settings import DetectionSettings, settings_of
from keras_mambaout.preprocessing.fitting import resize_and_pad

MASK_FORMS = ("image", "rle", "box")


def detect(
    model: Any,
    photos: Sequence[np.ndarray],
    image_size: int | tuple[int, int] | None = None,
    shortest_edge: int | None = None,
    longest_edge: int | None = None,
    confidence_threshold: float = 0.5,
    batch_size: int = 8,
    masks: str = "image",
) -> list[dict[str, Any]]:
    """Finds objects in photos.

    Photos are resized and go through the detector; its boxes and masks come back in pixels of each photo. Without a
    size, they are resized as the model's `inference_settings` say, else to fit in 640 pixels.

    Args:
        model: A detector: its `predict_on_batch` returns decoded boxes in `bounding_box_format`, and
            perhaps `"masks"`. With an attribute `takes_sizes` that is true it takes a dict of `"images"`
            and `"sizes"`, the height and width of each without padding.
        photos: List of uint8 arrays `(H, W, 3)` of any sizes, as `load_image` returns them.
        image_size: Size that photos are resized to fit in, an integer or `(H, W)`.
        shortest_edge: Instead of `image_size` the short side of the photos. Batches are of photos of one orientation,
            padded to one of six sizes at most, the same as those of `CocoDataset.batches`.
        longest_edge: With `shortest_edge`, the most that the long side may be; 1333 by default.
        confidence_threshold: Detections below it are left out. The model leaves out those below its own.
        batch_size: Photos at a time.
        masks: The form of the masks, of a model that finds masks: `"image"` for masks as large as the
            photo, `"rle"` for COCO's run lengths of them, which take little memory, `"box"` for what the
            model puts out. It has no effect on other models.

    Returns:
        For each photo a dict of arrays by descending confidence: `"boxes"` `(n, 4)` as `"xyxy"`, clipped
        to the photo, `"confidence"` `(n,)` and `"classes"` `(n,)`, integers; of a model that carries class
        names also `"names"`, a list; of a model that finds masks also `"masks"`: boolean `(n, H, W)`, a list of
        run lengths, or floats `(n, M, M)` from 0 to 1 in the frames of the boxes.

    Raises:
        ValueError: If the model is no detector, or an argument is outside of what is listed above.
        ImportError: If pycocotools, which makes run lengths, is not installed.

    Example:
    ```python
    photo = keras_mambaout.load_image("photo.jpg")
    (found,) = detect(detector, [photo])
    picture = draw_detections(photo, **found)
    ```
    """
    bounding_box_format = box_format_of(model)
    settings = settings_of(model, DetectionSettings)
    rule = ResizeRule(**settings.options(image_size, shortest_edge, longest_edge))
    check_choice("masks", masks, MASK_FORMS)
    check_positive_integer("batch_size", batch_size)
    found = [None] * len(photos)
    sizes = [rule.resized(*photo.shape[:2]) for photo in photos]
    for places, bucket in _batches(rule, sizes, batch_size):
        inputs = np.stack([resize_and_pad(photos[place], sizes[place], bucket) for place in places])
        if getattr(model, "takes_sizes", False):
            inputs = {"images": inputs, "sizes": np.array([sizes[place] for place in places], "int32")}
        predictions = _to_numpy(model.predict_on_batch(inputs), bounding_box_format, bucket)
        for row, place in enumerate(places):
            objects = {key: values[row] for key, values in predictions.items()}
            found[place] = _of_photo(objects, photos[place].shape[:2], sizes[place], confidence_threshold, masks)
            if settings.class_names is not None:
                found[place]["names"] = [settings.class_names[index] for index in found[place]["classes"]]
    return found


def _batches(rule, sizes, batch_size):
    """Yields which photos of these resized sizes go through the model together, and at which size."""
    numbers = [rule.bucket(size) for size in sizes]
    for order in rule.orders(numbers):
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size].tolist()
            yield places, rule.buckets[numbers[places[-1]]]


def _to_numpy(predictions, bounding_box_format, size):
    """Returns boxes as `"xyxy"` in pixels, confidence, classes and perhaps masks of a batch."""
    values = {
        "boxes": to_corners(predictions["boxes"], bounding_box_format, size),
        "confidence": predictions["confidence"],
        "classes": predictions.get("classes", predictions.get("labels")),
    }
    if "masks" in predictions:
        values["masks"] = predictions["masks"]
    return {key: np.asarray(value) for key, value in values.items()}


def _of_photo(objects, size, resized, confidence_threshold, masks):
    """Returns the objects of a photo, in its pixels."""
    kept = objects["confidence"] >= max(confidence_threshold, 0.0)  # -1 is padding
    (height, width), (rows, columns) = size, resized
    boxes = objects["boxes"][kept] / np.array([columns / width, rows / height] * 2)
    found = {
        "boxes": np.clip(boxes, 0, (width, height, width, height)),
        "confidence": objects["confidence"][kept],
        "classes": objects["classes"][kept].astype(int),
    }
    if "masks" in objects:
        in_boxes = objects["masks"][kept]
        drawn = {"image": paste_masks, "rle": encode_masks}
        found["masks"] = in_boxes if masks == "box" else drawn[masks](in_boxes, boxes, size)
    return found
