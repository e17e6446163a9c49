"""From the images of a data set to batches: epochs, shards and unreadable images, for all tasks alike."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mambaout.data.reader import ImageReader, following
from keras_mambaout.data.seeds import ORDER, next_number, random_seed


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """How images become batches: the arguments of `batches` that all data sets share, checked.

    Args:
        reader: Reads the images.
        indices: Which images of the reader's source, in order.
        batch_size: Images of all shards in a batch.
        steps: Batches of an epoch.
        seed: What order and augmentation depend on.
        epochs: `(first, stop)`, or `None` for the next epoch each time the batches are read.
        first_step: Batches that the first epoch is begun without.
        shard: `(index, count)`.
    """

    reader: ImageReader
    indices: np.ndarray
    batch_size: int
    steps: int
    seed: int
    epochs: tuple[int, int] | None
    first_step: int
    shard: tuple[int, int]

    @property
    def rows(self) -> int:
        """Images of this shard in a batch."""
        return self.batch_size // self.shard[1]

    def random(self, purpose: int, *numbers: Any) -> Any:
        """Returns a seed, an int64 tensor `(2,)`, for a purpose (`ORDER`, ...) and numbers such as the epoch's."""
        return random_seed(self.seed, purpose, *numbers)

    def first_batch(self, epoch: Any) -> Any:
        """Returns the number of the batch that an epoch begins with, an int64 tensor."""
        import tensorflow as tf

        first = tf.constant(self.first_step, tf.int64)
        return first if self.epochs is None else tf.where(tf.equal(epoch, self.epochs[0]), first, 0)

    def training_images(self, convert: Callable, blank: tuple, epoch: Any, arrange: Callable | None = None) -> Any:
        """Returns a `tf.data.Dataset` of `(position, arrays, label)`: the shuffled images of an epoch in full batches.

        Which image has which position follows from the seed and the epoch, whatever is read before. The image after
        an unreadable one, in the order of the data set, comes in its place. `convert` and `blank` are those of
        `ImageReader.images`. `arrange` is a function from the epoch's samples to `(position, sample)` in the order that
        they are to have; `position` may be a tuple of more than that.
        """
        samples = self.reader.source.samples(self.indices, self.random(ORDER, epoch))
        samples = samples.enumerate() if arrange is None else arrange(samples)
        samples = samples.take(self.steps * self.batch_size).skip(self.first_batch(epoch) * self.batch_size)
        return self.reader.images_or_others(self._of_shard(samples), convert, blank, following(self.indices))

    def images(self, convert: Callable, blank: tuple) -> Any:
        """Returns a `tf.data.Dataset` of `(position, arrays, label)`: the readable images in order."""
        images = self._marked_images(convert, blank).filter(lambda position, arrays, label, readable: readable)
        return images.map(lambda position, arrays, label, readable: (position, arrays, label))

    def full_images(self, convert: Callable, blank: tuple) -> Any:
        """Returns all images in order, in full batches: all shards have equally many of them.

        `readable` is the last entry. There is `blank` for images that are not, and after the last one, with label 0.
        """
        import tensorflow as tf

        images = self._marked_images(convert, blank)
        rest = (tuple(map(tf.constant, blank)), tf.zeros((), images.element_spec[2].dtype), False)
        count, (index, shards) = len(self.indices), self.shard
        positions = tf.data.Dataset.range(count, count + -count % self.batch_size)
        positions = positions.filter(lambda position: position % shards == index)
        return images.concatenate(positions.map(lambda position: (position, *rest)))

    def _marked_images(self, convert, blank):
        samples = self.reader.source.samples(self.indices).enumerate()
        return self.reader.images(self._of_shard(samples), convert, blank)

    def _of_shard(self, samples):
        index, count = self.shard
        return samples.shard(count, index)

    def epoch_batches(self, one_epoch: Callable) -> Any:
        """Returns the batches of `epochs` in one stream, or of the next epoch each time they are read.

        Args:
            one_epoch: Function from the number of an epoch, an int64 tensor, to a `tf.data.Dataset` of its batches,
                from `first_batch` on.
        """
        import tensorflow as tf

        numbers = next_number() if self.epochs is None else tf.data.Dataset.range(*self.epochs)
        epochs = 1 if self.epochs is None else self.epochs[1] - self.epochs[0]
        count = epochs * self.steps - self.first_step
        return finish(numbers.flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(count)))


def finish(batches: Any) -> Any:
    """Returns the batches, read ahead, in a fixed order, and not divided among devices by TensorFlow."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
