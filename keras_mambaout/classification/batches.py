"""From the images of a data set to batches for a classifier."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mambaout.classification.augmentation import ClassificationAugmentation
from keras_mambaout.data.batches import BatchPlan, finish
from keras_mambaout.data.seeds import AUGMENT, MIX


def training_batches(
    plan: BatchPlan, crop: Callable, size: int, classes: int | None, augmentation: ClassificationAugmentation | None
) -> Any:
    """Returns a `tf.data.Dataset` of shuffled batches, as `ClassificationDataset.batches` describes them.

    Args:
        plan: What the data sets of all tasks share.
        crop: Function from an image `(H, W, 3)` to one of `(size, size, 3)`, for images without augmentation.
        size: Side of the images.
        classes: Number of classes of one-hot labels; `None` for integers.
        augmentation: A `ClassificationAugmentation`, or `None`.
    """
    transform, mixing = None, None
    if augmentation is not None:
        crop, transform, mixing = np.asarray, augmentation.image_transform(size), augmentation.batch_transform()

    def one_epoch(epoch):
        def augment(position, arrays, label):
            (image,) = arrays
            return transform(image, plan.random(AUGMENT, epoch, position)), label

        def mix(number, images, labels):
            return mixing(images, labels, plan.random(MIX, epoch, number, plan.shard[0]))

        images = plan.training_images(lambda image: (crop(image),), _blank(size), epoch)
        images = _parallel(images, augment if transform else _image_and_label)
        return _batch(images, plan.rows, size, classes, mix=mix if mixing else None, first=plan.first_batch(epoch))

    return plan.epoch_batches(one_epoch)


def evaluation_batches(plan: BatchPlan, crop: Callable, size: int, classes: int | None, weighted: bool) -> Any:
    """Returns a `tf.data.Dataset` of batches in order, without unreadable images or, `weighted`, with weights."""
    import tensorflow as tf

    def convert(image):
        return (crop(image),)

    if not weighted:
        images = _parallel(plan.images(convert, _blank(size)), _image_and_label)
        return finish(_batch(images, plan.rows, size, classes, full=False))
    weight = np.float32(plan.steps * plan.batch_size / len(plan.indices))
    images = plan.full_images(convert, _blank(size))
    images = images.map(lambda position, arrays, label, readable: (*arrays, label, tf.where(readable, weight, 0.0)))
    batches = _batch(images, plan.rows, size, classes)
    return finish(batches.apply(tf.data.experimental.assert_cardinality(plan.steps)))


def _batch(images, rows, size, classes, full=True, mix=None, first=0):
    """Returns batches of `(images, labels, ...)`, all full or not, mixed by `mix(number, images, labels)`.

    The first one has the number `first`.
    """
    import tensorflow as tf

    def fix_shape(image, *labels):
        return tf.ensure_shape(image, (size, size, 3)), *labels

    def finish_batch(number, batch):
        images, labels, *weights = batch
        images = tf.cast(images, tf.float32)
        labels = labels if classes is None else tf.one_hot(labels, classes)
        if mix is not None:
            images, labels = mix(number, images, labels)
        return images, labels, *weights

    return _parallel(images.map(fix_shape).batch(rows, drop_remainder=full).enumerate(first), finish_batch)


def _parallel(images, function):
    import tensorflow as tf

    return images.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _image_and_label(position, arrays, label):
    (image,) = arrays
    return image, label


def _blank(size):
    """Returns what stands in for an unreadable image."""
    return (np.zeros((size, size, 3), "uint8"),)
