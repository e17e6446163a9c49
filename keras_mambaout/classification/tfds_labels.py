"""Classification sets of TensorFlow Datasets: `imagenet2012` and others with an image and its class."""

import io
import os

import numpy as np

from keras_mambaout.data.tfds import find_builder
from keras_mambaout.extras import import_extra
from keras_mambaout.preprocessing.reading import load_image

READ_AT_ONCE = 16  # files in training
READ_BUFFER = 8 << 20  # bytes of a file
SHUFFLE_BUFFER = 16384  # encoded images, about 1.8 GB of ImageNet's


class TfdsLabels:
    """The images of a split of TensorFlow Datasets.

    Args:
        name: Name of a data set with the features `"image"` and `"label"`.
        split: `"train"`, `"train[:10%]"`, `"train+validation"`, ...
        data_dir: Folder of prepared data; default that of TensorFlow Datasets.

    Raises:
        ValueError: If there is no such data set or split, or it has other features.
    """

    def __init__(self, name, split="train", data_dir=None):
        builder = _prepared_builder(name, data_dir)
        features = builder.info.features
        tfds = import_extra("tensorflow_datasets", "data")
        self.class_names = list(features["label"].names)
        self._features = tfds.features.FeaturesDict({key: features[key] for key in ("image", "label")})
        encoded = isinstance(features["image"], tfds.features.Image)
        self._decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None
        self._files = builder.info.splits[split].file_instructions
        if not len(self):
            raise ValueError(f"The split {split!r} of {name!r} has no images.")

    def __len__(self):
        return sum(file.take for file in self._files)

    def samples(self, seed=None):
        """Returns a `tf.data.Dataset` of `(file, row, record)`, in the order of the files or shuffled.

        The shuffled order is a function of `seed` `(2,)`: files are shuffled, some are read at once, and
        their records go through a shuffle buffer.
        """
        import tensorflow as tf

        columns = [[file.filename for file in self._files]]
        columns += [np.array([getattr(file, key) for file in self._files], "int64") for key in ("skip", "take")]
        if seed is None:
            return tf.data.Dataset.from_tensor_slices(tuple(columns)).flat_map(_read_file)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self._files)), seed)
        files = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(column, order) for column in columns))
        records = files.interleave(_read_file, READ_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return _stateless_shuffle(records, min(len(self), SHUFFLE_BUFFER), seed)

    def parse(self, sample):
        """Returns what `load` takes, as tensors, and the class of a sample.

        An image is the bytes of its file, unless the data set stores arrays.
        """
        file, row, record = sample
        example = self._features.deserialize_example(record, decoders=self._decoders)
        return (file, row, example["image"]), example["label"]

    def load(self, file, row, image):
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        if isinstance(image, bytes):
            image = io.BytesIO(image)
            image.name = self.name(file, row)  # for the error message
        return load_image(image)

    def name(self, file, row, image=None):
        """Returns what an image is called in messages, its `tfds_id`."""
        return f"{os.path.basename(file.decode())}__{row}"


def split_names(name, data_dir=None):
    """Returns the names of the splits of a data set of TensorFlow Datasets."""
    return sorted(_prepared_builder(name, data_dir).info.splits)


def _prepared_builder(name, data_dir):
    tfds = import_extra("tensorflow_datasets", "data")
    builder = find_builder(
        name,
        data_dir,
        ", and there is no such folder. Data sets with a class for each image are 'imagenet2012', 'cifar10', "
        "'tf_flowers' and many more",
    )
    _check_features(name, builder.info.features)
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # "Manual directory ... does not exist or is empty"
        raise ValueError(f"{name!r} cannot be prepared: {error}") from error
    stored = builder.info.file_format
    if stored != tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            f"{name!r} is stored as {stored.value!r} files, only 'tfrecord' files can be read. Prepare it again in "
            f"another `data_dir`: tfds.builder({name!r}, data_dir=..., file_format='tfrecord').download_and_prepare()."
        )
    return builder


def _check_features(name, features):
    tfds = import_extra("tensorflow_datasets", "data")
    keys = sorted(features)
    label = features["label"] if "label" in keys else None
    if "image" not in keys or not isinstance(label, tfds.features.ClassLabel):
        kinds = ", ".join(f"{key!r} ({type(features[key]).__name__})" for key in keys)
        raise ValueError(
            f"The data set {name!r} must have the features 'image' and 'label' (ClassLabel), it has {kinds}."
        )
    info = features["image"].get_tensor_info()
    shape, dtype = info.shape, np.dtype(info.np_dtype).name
    if len(shape) != 3 or shape[-1] not in (1, 3, 4) or dtype not in ("uint8", "uint16"):
        raise ValueError(
            f"The images of {name!r} must be uint8 or uint16, (H, W, 1), (H, W, 3) or (H, W, 4), they are {dtype}, "
            f"{shape}."
        )


def _read_file(filename, skip, take):
    import tensorflow as tf

    records = tf.data.TFRecordDataset(filename, buffer_size=READ_BUFFER).enumerate().skip(skip).take(take)
    return records.map(lambda row, record: (filename, row, record))


def _stateless_shuffle(dataset, buffer_size, seed):
    """Returns `dataset.shuffle` as a function of `seed` `(2,)` alone; the method adds TensorFlow's global seed."""
    import tensorflow as tf

    specs = tf.nest.flatten(dataset.element_spec)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer_size,
        seed=seed[0],
        seed2=seed[1],
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, dataset.element_spec)
