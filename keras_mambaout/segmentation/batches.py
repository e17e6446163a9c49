"""From the images and label maps of a data set to batches for a segmenter."""

from typing import Any

import numpy as np

from keras_mambaout.data.batches import BatchPlan, finish
from keras_mambaout.data.resizing import PADDING_MARK, fill_padding
from keras_mambaout.data.seeds import AUGMENT
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation, resize_pair
from keras_mambaout.segmentation.label_map_files import IGNORED

BLANK = np.zeros((1, 1, 3), "uint8"), np.zeros((1, 1), "uint8")  # what stands in for an unreadable image


def training_batches(
    plan: BatchPlan, crop_size: int, sides: tuple[int, int], augmentation: SegmentationAugmentation
) -> Any:
    """Returns a `tf.data.Dataset` of shuffled batches, as `SegmentationDataset.batches` describes them.

    Args:
        plan: What the data sets of all tasks share.
        crop_size: Side of the crops.
        sides: Short and at most long side of the images.
        augmentation: A `SegmentationAugmentation`.
    """
    import tensorflow as tf

    def one_epoch(epoch):
        def prepare(position, arrays, _):
            return augmentation(*arrays, sides, crop_size, plan.random(AUGMENT, epoch, position))

        images = plan.training_images(tuple, BLANK, epoch)
        samples = images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return _batch(samples, plan.rows, crop_size, full=True)

    return plan.epoch_batches(one_epoch)


def evaluation_batches(plan: BatchPlan, crop_size: int | None, sides: tuple[int, int]) -> Any:
    """Returns a `tf.data.Dataset` of batches in order, of the centres of images or, without a size, whole ones."""
    import tensorflow as tf

    def prepare(position, arrays, _):
        image, labels = resize_pair(*arrays, sides)
        return (image, labels) if crop_size is None else _centre(image, labels, crop_size)

    samples = plan.images(tuple, BLANK).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return finish(_batch(samples, plan.rows, crop_size, full=False))


def _centre(image, labels, crop_size):
    """Returns the centre of an image and its labels, at most `crop_size` high and wide."""
    import tensorflow as tf

    size = tf.minimum(tf.shape(labels), crop_size)
    top, left = tf.unstack((tf.shape(labels) - size) // 2)
    return image[top : top + size[0], left : left + size[1]], labels[top : top + size[0], left : left + size[1]]


def _batch(samples, rows, crop_size, full):
    """Returns batches of images and labels, filled up to `crop_size` or the largest, all full or not."""
    import tensorflow as tf

    def finish_batch(images, labels):
        return fill_padding(images), tf.cast(labels, tf.int32)

    shapes = ((crop_size, crop_size, 3), (crop_size, crop_size))
    padding = (PADDING_MARK, tf.constant(IGNORED, tf.uint8))
    return samples.padded_batch(rows, shapes, padding, drop_remainder=full).map(finish_batch, tf.data.AUTOTUNE)
