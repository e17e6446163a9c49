"""From the images and label maps of a data set to batches for a segmenter."""

from typing import Any

import numpy as np

from keras_mambaout.data.batches import BatchPlan, finish
from keras_mambaout.data.resizing import PADDING_MARK, fill_padding, pad_image, resize_image
from keras_mambaout.data.seeds import AUGMENT
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation, resize_labels, resized
from keras_mambaout.segmentation.label_map_files import IGNORED

BLANK = np.zeros((1, 1, 3), "uint8"), np.full((1, 1), IGNORED, "uint8")  # what stands in for an unreadable image


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


def evaluation_batches(plan: BatchPlan, crop_size: int | None, sides: tuple[int, int], full: bool) -> Any:
    """Returns a `tf.data.Dataset` of batches in order, of the centres of images or, without a size, whole ones.

    They have the readable images or, `full`, as many as there are images in full batches, some of which do not count.
    """
    import tensorflow as tf

    def prepare(position, arrays, *_):
        image, labels = arrays
        size = resized(tf.shape(labels), sides)
        labels = resize_labels(labels, size)
        if crop_size is None:
            return resize_image(image, size), labels
        part = tf.minimum(size, crop_size)
        place = (size - part) // 2
        return tf.ensure_shape(resize_image(image, size, place, part), (None, None, 3)), tf.slice(labels, place, part)

    images = (plan.full_images if full else plan.images)(tuple, BLANK)
    batches = _batch(images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE), plan.rows, crop_size, full)
    return finish(batches.apply(tf.data.experimental.assert_cardinality(plan.steps)) if full else batches)


def _batch(samples, rows, crop_size, full):
    """Returns batches of images and labels, filled up to `crop_size` or the largest, all full or not."""
    import tensorflow as tf

    def pad(image, labels):
        bottom, right = tf.unstack(crop_size - tf.shape(labels))
        labels = tf.pad(labels, [[0, bottom], [0, right]], constant_values=IGNORED)
        return pad_image(image, (crop_size, crop_size)), tf.ensure_shape(labels, (crop_size, crop_size))

    if crop_size is not None:
        samples = samples.map(pad, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = samples.batch(rows, drop_remainder=full)
    else:
        padding = (PADDING_MARK, tf.constant(IGNORED, tf.uint8))
        batches = samples.padded_batch(rows, padding_values=padding, drop_remainder=full)
        batches = batches.map(lambda images, labels: (fill_padding(images), labels), tf.data.AUTOTUNE)
    return batches.map(lambda images, labels: (images, tf.cast(labels, tf.int32)), tf.data.AUTOTUNE)
