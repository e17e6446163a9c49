"""Labels and detections side by side, to see what a number means."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.inference import detect
from keras_mambaout.detection.label_masks import crop_masks
from keras_mambaout.detection.predicted_masks import paste_masks
from keras_mambaout.visualization.detections import draw_detections
from keras_mambaout.visualization.grid import make_grid, make_tile, resize_to_fit, side_by_side

GAP = 4  # pixels between pictures
MASK_SIZE = 112  # of labels, finer than any head's


def draw_examples(
    model: keras.Model,
    dataset: CocoDataset,
    indices: Sequence[int],
    image_size: int | tuple[int, int] | None = None,
    shortest_edge: int | None = None,
    longest_edge: int | None = None,
    confidence_threshold: float = 0.5,
    columns: int = 1,
    side: int = 480,
) -> np.ndarray:
    """Draws some images of a data set twice, with their labels and with what a detector finds.

    Masks are drawn if the detector finds some, those of the labels if there are any.

    Args:
        model: A detector, as `detect` takes it.
        dataset: A `CocoDataset`.
        indices: Which images, one or more, from 0 to `len(dataset) - 1`.
        image_size: Size of the detector's input, an integer or `(H, W)`; by default the model's, as for `detect`.
        shortest_edge: As for `detect`.
        longest_edge: As for `detect`.
        confidence_threshold: Detections below it are not drawn.
        columns: Pairs in a row.
        side: Long side of an image in the picture, in pixels.

    Returns:
        A picture `(height, width, 3)`, uint8: of each pair the labels are on the left, the detections on the right.

    Raises:
        ValueError: If there are no indices, one is out of range or its image unreadable, or the model is no detector.

    Example:
    ```python
    picture = draw_examples(detector, dataset, range(8), columns=2)
    PIL.Image.fromarray(picture).save("detections.png")
    ```
    """
    if not len(indices):
        raise ValueError("There is nothing to draw: give one index or more in `indices`.")
    photos = [dataset.load(index)[0] for index in indices]
    detections = detect(model, photos, image_size, shortest_edge, longest_edge, confidence_threshold, masks="box")
    masks = dataset.has_masks and "masks" in detections[0]
    pairs = []
    for index, photo, found in zip(indices, photos, detections, strict=True):
        both = _labels(dataset, index, masks), found
        pairs.append(side_by_side([_tile(photo, objects, dataset.class_names, side) for objects in both]))
    return make_grid(pairs, columns)


def _labels(dataset, index, masks):
    """Returns the objects of an image, masks in the frames of their boxes."""
    _, objects = dataset.load(index, masks)
    if masks:
        objects["masks"] = crop_masks(objects["masks"], objects["boxes"], MASK_SIZE)
    return objects


def _tile(photo, objects, class_names, side):
    """Returns a photo with its boxes and masks, drawn at the size of the tile."""
    small = resize_to_fit(photo, side)
    height, width = small.shape[:2]
    boxes = objects["boxes"] * (np.array([width, height] * 2) / (photo.shape[1::-1] * 2))
    masks = paste_masks(objects["masks"], boxes, (height, width)) if "masks" in objects else None
    drawn = draw_detections(small, boxes, objects["classes"], objects.get("confidence"), class_names, masks)
    return make_tile(drawn, side, GAP)
