"""Labels and detections side by side, to see what a number means."""

import numpy as np
from PIL import Image

from keras_mambaout.detection.detect import detect
from keras_mambaout.detection.draw import draw_detections
from keras_mambaout.preprocessing.letterbox import fit

GAP = 4  # pixels between pictures


def draw_examples(model, dataset, image_ids, image_size=640, confidence_threshold=0.5, columns=1, side=480):
    """Draws some images of a data set twice, with their labels and with what a detector finds.

    Args:
        model: A detector, as `detect` takes it.
        dataset: A `CocoDataset`.
        image_ids: Ids of the images.
        image_size: Size of the detector's input, an integer or `(H, W)`.
        confidence_threshold: Detections below are not drawn.
        columns: Pairs beside each other.
        side: Long side of an image in the picture, in pixels.

    Returns:
        A picture, uint8: of each pair the labels are on the left, the detections on the right.

    Example:
    ```python
    picture = draw_examples(detector, dataset, dataset.image_ids[:8], columns=2)
    PIL.Image.fromarray(picture).save("detections.png")
    ```
    """
    photos = [dataset.load_image(image_id) for image_id in image_ids]
    detections = detect(model, photos, image_size, confidence_threshold)
    pairs = [
        _side_by_side(
            [_tile(photo, objects, dataset.class_names, side) for objects in (dataset.objects(image_id), found)]
        )
        for image_id, photo, found in zip(image_ids, photos, detections, strict=True)
    ]
    pairs += [np.full_like(pairs[0][:1], 255)] * (-len(pairs) % columns)
    rows = [_side_by_side(pairs[start : start + columns]) for start in range(0, len(pairs), columns)]
    return np.concatenate(rows)


def _tile(photo, objects, class_names, side):
    """Returns a photo with boxes, in the middle of a white strip of the width `side`."""
    height, width = fit(photo.shape[:2], (side, side))
    small = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    scale = np.array([width / photo.shape[1], height / photo.shape[0]] * 2)
    boxes, classes, scores = objects["boxes"] * scale, objects["classes"], objects.get("scores")
    drawn = draw_detections(small, boxes, classes, scores, class_names)
    left = (side - width) // 2
    return np.pad(drawn, ((0, GAP), (left, side - width - left + GAP), (0, 0)), constant_values=255)


def _side_by_side(pictures):
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded, axis=1)
