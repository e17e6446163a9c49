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
    pairs = []
    for image_id, photo, found in zip(image_ids, photos, detections, strict=True):
        for objects in (dataset.objects(image_id), found):
            pairs.append(_tile(photo, objects, dataset.class_names, side))
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % (2 * columns))
    rows = [np.concatenate(pairs[start : start + 2 * columns], axis=1) for start in range(0, len(pairs), 2 * columns)]
    return np.concatenate(rows)


def _tile(photo, objects, class_names, side):
    """Returns a photo with boxes, in the middle of a white square."""
    height, width = fit(photo.shape[:2], (side, side))
    small = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    scale = np.array([width / photo.shape[1], height / photo.shape[0]] * 2)
    tile = np.full((side + GAP, side + GAP, 3), 255, "uint8")
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = draw_detections(
        small, objects["boxes"] * scale, objects["classes"], objects.get("scores"), class_names
    )
    return tile
