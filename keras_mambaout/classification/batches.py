"""From a source of images with one class each to batches for a classifier."""

import dataclasses

import numpy as np

from keras_mambaout.data.seeds import AUGMENT, MIX, ORDER, next_number, random_seed


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """How images become batches; what `ClassificationDataset.batches` takes, checked.

    Args:
        batch_size: Images of all shards in a batch.
        steps: Batches of an epoch.
        shard: `(index, count)`.
        crop: Function from an image `(H, W, 3)` to one of the batches' size `(S, S, 3)`.
        blank: What stands in for unreadable images, `(S, S, 3)`.
        classes: Number of classes of one-hot labels; `None` for integers.
    """

    batch_size: int
    steps: int
    shard: tuple
    crop: object
    blank: np.ndarray
    classes: int | None

    @property
    def rows(self):
        """Images of this shard in a batch."""
        return self.batch_size // self.shard[1]

    @property
    def size(self):
        """Side of the square images."""
        return self.blank.shape[0]

    def images(self, reader, crop, seed=None):
        """Returns a `tf.data.Dataset` of position, cropped image, class, and whether the image is readable."""
        import tensorflow as tf

        index, count = self.shard

        def read(*reference):
            image = reader.read(reference, crop)
            return (self.blank, False) if image is None else (image, True)

        def load(position, sample):
            reference, label = reader.source.parse(sample)
            image, readable = tf.numpy_function(read, reference, (tf.uint8, tf.bool))
            return position, tf.ensure_shape(image, (None, None, 3)), label, tf.ensure_shape(readable, ())

        samples = reader.source.samples(seed).enumerate().shard(count, index)
        return samples.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def batch(self, images, full=True, mix=None):
        """Returns batches of `(images, labels, ...)`, all full or not, mixed by `mix(number, images, labels)`."""
        import tensorflow as tf

        def finish(number, batch):
            images, labels, *weights = batch
            images = tf.cast(images, tf.float32)
            labels = labels if self.classes is None else tf.one_hot(labels, self.classes)
            if mix is not None:
                images, labels = mix(number, images, labels)
            return images, labels, *weights

        batches = images.map(self._fix_shape).batch(self.rows, drop_remainder=full).enumerate()
        return batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _fix_shape(self, image, *labels):
        import tensorflow as tf

        return tf.ensure_shape(image, self.blank.shape), *labels


def training_batches(reader, plan, augmentation, seed, epochs):
    """Returns a `tf.data.Dataset` of shuffled batches of `epochs`, or of the next epoch each time it is read.

    All of an epoch is a function of `seed` and its number. Images that follow from the epoch's beginning
    stand in for unreadable ones, so that it always has `plan.steps` batches.
    """
    import tensorflow as tf

    crop, transform, mixing = plan.crop, None, None
    if augmentation is not None:
        crop, transform, mixing = np.asarray, augmentation.image_transform(plan.size), augmentation.batch_transform()

    def one_epoch(epoch):
        def augment(position, image, label, _):
            return transform(image, random_seed(seed, AUGMENT, epoch, position)), label

        def mix(number, images, labels):
            return mixing(images, labels, random_seed(seed, MIX, epoch, number, plan.shard[0]))

        images = plan.images(reader, crop, random_seed(seed, ORDER, epoch))
        images = images.filter(_is_readable).repeat().take(plan.steps * plan.rows)
        images = images.map(augment if transform else _without_marks, tf.data.AUTOTUNE, deterministic=True)
        return plan.batch(images, mix=mix if mixing else None)

    numbers = next_number() if epochs is None else tf.data.Dataset.range(*epochs)
    count = 1 if epochs is None else epochs[1] - epochs[0]
    return numbers.flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(count * plan.steps))


def evaluation_batches(reader, plan, weighted):
    """Returns a `tf.data.Dataset` of batches in order, without unreadable images or with weights."""
    import tensorflow as tf

    images = plan.images(reader, plan.crop)
    if not weighted:
        return plan.batch(images.filter(_is_readable).map(_without_marks), full=False)
    weight = np.float32(plan.steps * plan.batch_size / len(reader.source))
    images = images.map(lambda position, image, label, readable: (image, label, tf.where(readable, weight, 0.0)))
    filler = tf.data.Dataset.from_tensors((plan.blank, np.int64(0), np.float32(0))).repeat()
    batches = plan.batch(images.concatenate(filler).take(plan.steps * plan.rows))
    return batches.apply(tf.data.experimental.assert_cardinality(plan.steps))


def _is_readable(position, image, label, readable):
    return readable


def _without_marks(position, image, label, readable):
    return image, label
