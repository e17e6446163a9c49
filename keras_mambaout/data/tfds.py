"""Images in TensorFlow Datasets: finding a data set, and reading the records of a split in any order."""

import bisect
import itertools
import os
from typing import Any

import numpy as np

from keras_mambaout.data.decoding import decode_image
from keras_mambaout.extras import import_extra, import_tensorflow
from keras_mambaout.preprocessing.reading import load_image

READ_AT_ONCE = 16  # files in training
READ_BUFFER = 8 << 20  # bytes of a file


def find_builder(name: str, data_dir: str | os.PathLike | None, hint: str) -> Any:
    """Returns a `tfds.core.DatasetBuilder`, not prepared; if there is none, the error ends with `hint`."""
    tfds = import_extra("tensorflow_datasets", "data")
    import_tensorflow()
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:  # ValueError: no data set can have such a name
        raise ValueError(
            f"TensorFlow Datasets has no data set {name!r}{hint}; tfds.list_builders() lists all names."
        ) from error


def prepare(builder: Any) -> None:
    """Downloads and prepares what is not there yet, as `tfds.load` does; the files must be TFRecord files."""
    tfds = import_extra("tensorflow_datasets", "data")
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # "Manual directory ... does not exist or is empty"
        raise ValueError(f"{builder.name!r} cannot be prepared: {error}") from error
    stored = builder.info.file_format
    if stored != tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            f"{builder.name!r} is stored as {stored.value!r} files, only 'tfrecord' files can be read. Prepare it "
            f"again in a different `data_dir`: tfds.builder({builder.name!r}, data_dir=..., "
            "file_format='tfrecord').download_and_prepare()."
        )


class TfdsRecords:
    """A source of images: the records of a split. It has the methods of `data.image_files.ImageFiles`.

    A sample is `(index, file, row, record)`.

    Args:
        builder: A prepared `tfds.core.DatasetBuilder` whose features have an `"image"`.
        split: `"train"`, `"train[:10%]"`, `"train+validation"`, ...
        keys: The features that are read.
        shuffle_buffer: Encoded images that are shuffled at a time.

    Raises:
        ValueError: If there is no such split, or it is empty.
    """

    def __init__(self, builder: Any, split: str, keys: tuple[str, ...], shuffle_buffer: int) -> None:
        tfds = import_extra("tensorflow_datasets", "data")
        features = builder.info.features
        self.shuffle_buffer = shuffle_buffer
        self._features = tfds.features.FeaturesDict({key: features[key] for key in keys})
        encoded = isinstance(features["image"], tfds.features.Image)
        self._decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None
        files = builder.info.splits[split].file_instructions
        self._files = [file.filename for file in files]
        self._skip = np.array([file.skip for file in files], "int64")
        self._starts = np.cumsum([0, *(file.take for file in files)])  # of the files, among all records
        if not len(self):
            raise ValueError(f"The split {split!r} of {builder.name!r} has no images.")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def samples(self, indices: np.ndarray, seed: Any = None) -> Any:
        """Returns a `tf.data.Dataset` of the records at these indices, in this order or shuffled.

        The shuffled order is a function of `seed`, an int64 tensor `(2,)`: files are shuffled, some are read at once,
        and their records go through a shuffle buffer.
        """
        import tensorflow as tf

        positions = np.full(len(self), -1, "int64")  # in `indices`
        positions[indices] = np.arange(len(indices))
        positions = tf.constant(positions)

        def read(name, skip, start, count, first, last):
            """Reads `count` records of a file from one on, and returns those whose positions are `first` to `last`."""
            records = tf.data.TFRecordDataset(name, buffer_size=READ_BUFFER).skip(skip).take(count).enumerate()
            records = records.map(lambda row, record: (start + row, name, skip + row, record))

            def wanted(index, file, row, record):
                return tf.logical_and(positions[index] >= first, positions[index] <= last)

            return records.filter(wanted)

        parts = [np.array(column) for column in zip(*self._parts(indices, in_order=seed is None), strict=True)]
        if seed is None:
            return tf.data.Dataset.from_tensor_slices(tuple(parts)).flat_map(read)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(parts[0])), seed)
        parts = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(column, order) for column in parts))
        records = parts.interleave(read, READ_AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return _stateless_shuffle(records, min(len(indices), self.shuffle_buffer), seed)

    def _parts(self, indices, in_order):
        """Returns what to read: `(file, rows to skip, index of the first record, count, first and last position)`.

        In order these are runs of ascending records of one file; else each file is read once.
        """
        files = np.searchsorted(self._starts, indices, "right") - 1
        if in_order:
            breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(indices) <= 0)) + 1
        else:
            indices, files = np.sort(indices), np.sort(files)
            breaks = np.flatnonzero(np.diff(files)) + 1
        for first, stop in itertools.pairwise([0, *breaks.tolist(), len(indices)]):
            file, start, end = files[first], indices[first], indices[stop - 1] + 1
            skip = self._skip[file] + start - self._starts[file]
            positions = (first, stop - 1) if in_order else (0, len(indices) - 1)
            yield self._files[file], skip, start, end - start, *positions

    def index(self, sample: Any) -> Any:
        """Returns the index of a sample, a tensor."""
        return sample[0]

    def parse(self, sample: Any) -> tuple[tuple, Any]:
        """Returns what `load` takes, as tensors, and the label of a sample, here its index.

        The image is the bytes of its file, unless the data set stores arrays.
        """
        index, file, row, record = sample
        return (file, row, self.deserialize(record)["image"]), index

    def deserialize(self, record: Any) -> dict[str, Any]:
        """Returns the features of a record as tensors, the image as the bytes of its file if it is encoded."""
        return self._features.deserialize_example(record, decoders=self._decoders)

    def identity(self, index: int) -> tuple:
        """Returns the name of an image; its label is not read."""
        file, row = self._row(index)
        return os.path.basename(file), row

    def _row(self, index):
        """Returns the file of a record, and how many stand before it there."""
        number = bisect.bisect_right(self._starts, index) - 1
        return self._files[number], int(self._skip[number] + index - self._starts[number])

    def find(self, index: int) -> tuple[tuple, Any]:
        """Returns the reference of the image at an index, and its label."""
        import tensorflow as tf

        file, row = self._row(index)
        (record,) = tf.data.TFRecordDataset(file, buffer_size=READ_BUFFER).skip(row).take(1)  # no pipeline in another
        parsed = self.parse((tf.constant(index, tf.int64), tf.constant(file), tf.constant(row, tf.int64), record))
        return tf.nest.map_structure(lambda value: value.numpy(), parsed)

    def load(self, file: bytes, row: int, image: Any) -> np.ndarray:
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        return decode_image(image, self.name(file, row)) if isinstance(image, bytes) else load_image(image)

    def name(self, file: bytes, row: int, image: Any = None) -> str:
        """Returns what an image is called in messages, its `tfds_id`."""
        return f"{os.path.basename(file.decode())}__{row}"


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
