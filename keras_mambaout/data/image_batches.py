"""From a source of images with one class each to batches for a classifier."""

import dataclasses
import itertools
import logging
import threading

import numpy as np

logger = logging.getLogger(__name__)
ORDER, AUGMENT, MIX = range(3)  # what random numbers are drawn for


class ImageReader:
    """Reads the images of a source, and remembers those that cannot be read.

    Args:
        source: `ClassFolders`, `TfdsLabels` or the like. `samples(seed)` is a `tf.data.Dataset`, in order or
            shuffled, `parse(sample)` the reference to an image and its class, `load(*reference)` the image,
            and `name(*reference)` its name.
    """

    def __init__(self, source):
        self.source, self.unreadable = source, set()
        self._lock, self._checked = threading.Lock(), False

    def read(self, reference, crop):
        """Returns a cropped image, or `None` if it is unreadable."""
        try:
            return crop(self.source.load(*reference))
        except Exception as error:  # whatever it is: in a data pipeline it would end the training
            self._leave_out(self.source.name(*reference), error)
            return None

    def _leave_out(self, name, error):
        with self._lock:
            known = name in self.unreadable
            self.unreadable.add(name)
        if not known:
            named = isinstance(error, ValueError) and repr(name) in str(error)
            reason = error if named else f"{name!r} is not a readable image, it may be damaged: {error!r}"
            logger.warning("%s; it is left out.", reason)

    def check(self):
        """Raises an error unless an image is readable and labelled."""
        if self._checked:
            return
        samples = self.source.samples().enumerate().map(lambda _, sample: self.source.parse(sample))
        for reference, label in samples.as_numpy_iterator():
            if label < 0:
                raise ValueError("The images have no labels (-1): this split is for predictions only, take another.")
            if self.read(reference, np.asarray) is not None:
                self._checked = True
                return
        raise ValueError(f"None of the {len(self.source)} images is readable, the warnings above say why.")


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


def random_seed(seed, *numbers):
    """Returns an int64 tensor `(2,)`, another one for other numbers."""
    import tensorflow as tf

    value = tf.constant([seed, 0], tf.int64)
    for number in numbers:
        value = tf.random.fold_in(value, tf.cast(number, tf.int64))
    return value


def next_number():
    """Returns a `tf.data.Dataset` of one number, 0 when it is read first, then 1, 2, ..."""
    import tensorflow as tf

    numbers = itertools.count()
    read = tf.data.Dataset.from_tensors(0)
    read = read.map(lambda _: tf.numpy_function(lambda: np.int64(next(numbers)), [], tf.int64))
    return read.map(lambda number: tf.ensure_shape(number, ()))


def _is_readable(position, image, label, readable):
    return readable


def _without_marks(position, image, label, readable):
    return image, label
