"""Labels and detections side by side, to see what a number means."""

import numpy as np
from PIL import Image

from keras_mambaout.detection.inference import detect
from keras_mambaout.detection.label_masks import crop_masks
from keras_mambaout.detection.predicted_masks import paste_masks
from keras_mambaout.preprocessing.fitting import fit
from keras_mambaout.visualization.detections import draw_detections

GAP = 4  # pixels between pictures
MASK_SIZE = 112  # of labels, finer than any head's


def draw_examples(model, dataset, image_ids, image_size=640, confidence_threshold=0.5, columns=1, side=480):
    """Draws some images of a data set twice, with their labels and with what a detector finds.

    Masks are drawn if the detector finds some, those of the labels if there are any.

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
    detections = detect(model, photos, image_size, confidence_threshold, masks="box")
    masks = dataset.has_masks and "masks" in detections[0]
    pairs = []
    for image_id, photo, found in zip(image_ids, photos, detections, strict=True):
        both = _labels(dataset, image_id, masks), found
        pairs.append(_side_by_side([_tile(photo, objects, dataset.class_names, side) for objects in both]))
    pairs += [np.full_like(pairs[0][:1], 255)] * (-len(pairs) % columns)
    rows = [_side_by_side(pairs[start : start + columns]) for start in range(0, len(pairs), columns)]
    return np.concatenate(rows)


def _labels(dataset, image_id, masks):
    """Returns the objects of an image, masks in the frames of their boxes."""
    objects = dataset.objects(image_id, masks)
    if masks:
        objects["masks"] = crop_masks(objects["masks"], objects["boxes"], MASK_SIZE)
    return objects


def _tile(photo, objects, class_names, side):
    """Returns a photo with boxes and masks, in the middle of a white strip of the width `side`."""
    height, width = fit(photo.shape[:2], (side, side))
    small = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    scale = np.array([width / photo.shape[1], height / photo.shape[0]] * 2)
    boxes, classes, scores = objects["boxes"] * scale, objects["classes"], objects.get("scores")
    masks = paste_masks(objects["masks"], boxes, (height, width)) if "masks" in objects else None
    drawn = draw_detections(small, boxes, classes, scores, class_names, masks)
    left = (side - width) // 2
    return np.pad(drawn, ((0, GAP), (left, side - width - left + GAP), (0, 0)), constant_values=255)


def _side_by_side(pictures):
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded, axis=1)
