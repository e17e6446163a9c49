"""Resizing and padding of images in `tf.data`, for detection and segmentation alike."""

from typing import Any

from keras_mambaout.preprocessing.fitting import PADDING_COLOR

PADDING_MARK = -1.0  # which no pixel has


def resize_image(image: Any, size: Any, place: Any = None, part: Any = None) -> Any:
    """Returns an image `(H, W, 3)` at a new size: float32, 0-255, bilinear with antialiasing.

    Args:
        image: uint8 or float32.
        size: The new `(height, width)`.
        place: Of what is wanted of the resized image, the top and the left; `None` is all of it.
        part: And its height and width. Only they are computed, which is less than resizing and cutting out.
    """
    import tensorflow as tf

    old, new = tf.shape(image)[:2], tf.cast(size, tf.int32)
    if part is None:
        return tf.cond(
            tf.reduce_all(new >= old),
            lambda: tf.image.resize(image, new),  # the same where the image grows, in half the time
            lambda: tf.image.resize(image, new, antialias=True),
        )
    return tf.raw_ops.ScaleAndTranslate(  # what `tf.image.resize` calls with antialiasing
        images=image[None],
        size=part,
        scale=tf.cast(new, tf.float32) / tf.cast(old, tf.float32),
        translation=-tf.cast(place, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]


def pad_image(image: Any, size: Any) -> Any:
    """Returns an image, float32, filled up to a height and width at the bottom and the right, with ImageNet's mean."""
    import tensorflow as tf

    (rows, columns), (height, width) = tf.unstack(tf.shape(image)[:2]), tf.unstack(size)
    color = tf.constant(PADDING_COLOR)

    def widen():
        return tf.concat([image, tf.broadcast_to(color, [rows, width - columns, 3])], axis=1)

    def lengthen():
        return tf.concat([wide, tf.broadcast_to(color, [height - rows, width, 3])], axis=0)

    wide = tf.cond(columns < width, widen, lambda: image)
    return tf.cond(rows < height, lengthen, lambda: wide)


def fill_padding(images: Any) -> Any:
    """Gives the pixels that are marked as padding ImageNet's mean colour."""
    import tensorflow as tf

    return tf.where(images < 0.5 * PADDING_MARK, tf.constant(PADDING_COLOR), images)
