"""Labels and detections side by side, to see what a number means."""

import numpy as np

from keras_mambaout.detection.detect import detect
from keras_mambaout.detection.draw import draw_detections
from keras_mambaout.preprocessing.letterbox import letterbox


def draw_examples(model, dataset, image_ids, image_size=640, confidence_threshold=0.5, columns=1):
    """Draws some images of a data set twice, with their labels and with what a detector finds.

    Args:
        model: A detector, as `detect` takes it.
        dataset: A `CocoDataset`.
        image_ids: Ids of the images.
        image_size: Size of the detector's input, an integer or `(H, W)`; images are drawn in it.
        confidence_threshold: Detections below are not drawn.
        columns: Pairs beside each other.

    Returns:
        A picture, uint8: of each pair the labels are on the left, the detections on the right.

    Example:
    ```python
    picture = draw_examples(detector, dataset, dataset.image_ids[:8], columns=2)
    PIL.Image.fromarray(picture).save("detections.png")
    ```
    """
    subset = dataset.subset(image_ids)
    photos = [dataset.load_image(image_id) for image_id in image_ids]
    found = detect(model, photos, image_size, confidence_threshold)
    pairs = []
    batches = subset.batches(batch_size=1, image_size=image_size).as_numpy_iterator()
    for (_, labels), photo, detections in zip(batches, photos, found, strict=True):
        image, (vertical, horizontal) = letterbox(photo, image_size)
        on_image = detections["boxes"] * (horizontal, vertical, horizontal, vertical)
        left = draw_detections(image, labels["boxes"][0], labels["classes"][0], class_names=dataset.class_names)
        right = draw_detections(image, on_image, detections["classes"], detections["scores"], dataset.class_names)
        pairs.append(np.concatenate([left, right], axis=1))
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % columns)
    rows = [np.concatenate(pairs[start : start + columns], axis=1) for start in range(0, len(pairs), columns)]
    return np.concatenate(rows)
