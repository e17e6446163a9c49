"""Resizing and padding of images in `tf.data`, the same for boxes and for label maps."""

from keras_mambaout.preprocessing.fitting import PADDING_COLOR

PADDING_MARK = -1.0  # no pixel has it


def resize_image(image, size):
    """Returns an image `(H, W, 3)` as float32 of another size, bilinear with antialias, 0-255."""
    import tensorflow as tf

    image = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)


def fill_padding(images):
    """Gives the pixels that are marked as padding ImageNet's mean colour."""
    import tensorflow as tf

    return tf.where(images < 0.5 * PADDING_MARK, tf.constant(PADDING_COLOR), images)
