"""Resizing and padding of images in `tf.data`, for detection and segmentation alike."""

from typing import Any

from keras_mambaout.preprocessing.fitting import PADDING_COLOR

PADDING_MARK = -1.0  # which no pixel has


def resize_image(image: Any, size: Any) -> Any:
    """Returns an image `(H, W, 3)` at a new size: float32, 0-255, bilinear with antialiasing."""
    import tensorflow as tf

    image = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)


def fill_padding(images: Any) -> Any:
    """Gives the pixels that are marked as padding ImageNet's mean colour."""
    import tensorflow as tf

    return tf.where(images < 0.5 * PADDING_MARK, tf.constant(PADDING_COLOR), images)
