"""From images with label maps to batches for a segmenter."""

from keras_mambaout.data.resizing import PADDING_MARK, fill_padding
from keras_mambaout.data.seeds import AUGMENT, ORDER, next_number, random_seed
from keras_mambaout.segmentation.augmentation import resize_pair
from keras_mambaout.segmentation.label_map_files import IGNORED


def training_batches(dataset, batch_size, crop_size, sides, augmentation, seed, epochs):
    """Returns a `tf.data.Dataset` of shuffled batches of `epochs`, or of the next epoch each time it is read.

    All of an epoch is a function of `seed` and its number.

    Args:
        dataset: A `SegmentationDataset`.
        batch_size: Images in a batch.
        crop_size: Side of the crops.
        sides: Short and at most long side of the images.
        augmentation: A `SegmentationAugmentation`.
        seed: Integer.
        epochs: `(first, stop)`, or `None`.
    """
    import tensorflow as tf

    def one_epoch(epoch):
        def prepare(position, number):
            draw = random_seed(seed, AUGMENT, epoch, position)
            return augmentation(*_load(dataset, number), sides, crop_size, draw)

        order = tf.range(len(dataset), dtype=tf.int64)
        order = tf.random.experimental.stateless_shuffle(order, random_seed(seed, ORDER, epoch))
        samples = tf.data.Dataset.from_tensor_slices(order).enumerate()
        return _batch(samples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE), batch_size, crop_size, full=True)

    numbers = next_number() if epochs is None else tf.data.Dataset.range(*epochs)
    steps = dataset.steps_per_epoch(batch_size) * (1 if epochs is None else epochs[1] - epochs[0])
    batches = numbers.flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(steps))
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(dataset, batch_size, crop_size, sides):
    """Returns a `tf.data.Dataset` of batches in order, of the centres of images or, without a size, whole ones."""
    import tensorflow as tf

    def prepare(number):
        image, labels = resize_pair(*_load(dataset, number), sides)
        return (image, labels) if crop_size is None else _centre(image, labels, crop_size)

    samples = tf.data.Dataset.range(len(dataset)).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return _batch(samples, batch_size, crop_size, full=False).prefetch(tf.data.AUTOTUNE)


def _load(dataset, number):
    """Returns the image and the labels of a number, a tensor."""
    import tensorflow as tf

    image, labels = tf.numpy_function(dataset.load, [number], (tf.uint8, tf.uint8))
    return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(labels, (None, None))


def _centre(image, labels, crop_size):
    """Returns the centre of an image and its labels, at most `crop_size` high and wide."""
    import tensorflow as tf

    size = tf.minimum(tf.shape(labels), crop_size)
    top, left = tf.unstack((tf.shape(labels) - size) // 2)
    return image[top : top + size[0], left : left + size[1]], labels[top : top + size[0], left : left + size[1]]


def _batch(samples, batch_size, crop_size, full):
    """Returns batches of images and labels, filled up to `crop_size` or the largest, all full or not."""
    import tensorflow as tf

    def finish(images, labels):
        return fill_padding(images), tf.cast(labels, tf.int32)

    shapes = ((crop_size, crop_size, 3), (crop_size, crop_size))
    padding = (PADDING_MARK, tf.constant(IGNORED, tf.uint8))
    return samples.padded_batch(batch_size, shapes, padding, drop_remainder=full).map(finish, tf.data.AUTOTUNE)
