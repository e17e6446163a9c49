"""Objects in photos of any size, in pixels of the photos."""

import keras
import numpy as np

from keras_mambaout.detection.boxes import box_format_of
from keras_mambaout.preprocessing.letterbox import check_size, letterbox


def detect(model, photos, image_size=640, confidence_threshold=0.5, batch_size=8):
    """Finds objects in photos.

    Photos are letterboxed to one size, go through the detector, and boxes come back in pixels of
    each photo.

    Args:
        model: A detector: its `predict_on_batch` returns decoded boxes in `bounding_box_format`.
        photos: List of uint8 arrays `(H, W, 3)` of any sizes, as `load_image` returns them.
        image_size: Size that photos are resized to fit in, an integer or `(H, W)`.
        confidence_threshold: Detections below are left out. The model leaves out those below its own.
        batch_size: Photos at a time.

    Returns:
        For each photo a dict of arrays by descending score: `"boxes"` `(n, 4)` as `"xyxy"`, clipped to
        the photo, `"scores"` `(n,)` and `"classes"` `(n,)`, integers.

    Raises:
        ValueError: If the model is no detector, or an argument is outside of what is listed above.

    Example:
    ```python
    photo = keras_mambaout.load_image("photo.jpg")
    (found,) = detect(detector, [photo])
    picture = draw_detections(photo, found["boxes"], found["classes"], found["scores"], class_names)
    ```
    """
    bounding_box_format = box_format_of(model)
    height, width = check_size("image_size", image_size)
    found = []
    for start in range(0, len(photos), batch_size):
        chosen = photos[start : start + batch_size]
        images, scales = zip(*(letterbox(photo, (height, width)) for photo in chosen), strict=True)
        predictions = model.predict_on_batch(np.stack(images))
        corners = keras.utils.bounding_boxes.convert_format(
            predictions["boxes"], source=bounding_box_format, target="xyxy", height=height, width=width
        )
        boxes, scores, classes = (
            keras.ops.convert_to_numpy(values)
            for values in (corners, predictions["confidence"], predictions.get("classes", predictions.get("labels")))
        )
        for row, (photo, scale) in enumerate(zip(chosen, scales, strict=True)):
            kept = scores[row] >= max(confidence_threshold, 0.0)  # -1 is padding
            vertical, horizontal = scale
            limits = np.array(photo.shape[1::-1] * 2)
            found.append(
                {
                    "boxes": np.clip(boxes[row][kept] / (horizontal, vertical, horizontal, vertical), 0, limits),
                    "scores": scores[row][kept],
                    "classes": classes[row][kept].astype(int),
                }
            )
    return found
