"""Classification sets of TensorFlow Datasets, made here with the features that ImageNet has there."""

import io
import logging
import pathlib

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_mambaout.classification import ClassificationDataset, tfds_labels
from keras_mambaout.data import tfds as data_tfds

NAMES = ["apple", "banana", "cherry"]
STEP = 6  # of grey, from one image to the next
SMALL = {"batch_size": 8, "image_size": 2}

pytestmark = pytest.mark.no_backend


def jpeg(number):
    """Returns the bytes of image `number`: its grey is `STEP * number`, a corner is red."""
    image = Image.new("RGB", (9 + number, 12), (STEP * number,) * 3)
    image.paste((200, 0, 0), (0, 0, 3, 3))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


class TinyLabels(tfds.core.GeneratorBasedBuilder):
    """Forty images for training, six for testing; what the data sets below share."""

    VERSION = tfds.core.Version("1.0.0")
    image = tfds.features.Image(encoding_format="jpeg")
    label = tfds.features.ClassLabel(names=NAMES)

    def _info(self):
        features = {"image": self.image, "label": self.label, "file_name": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(40)), "test": self._generate_examples(range(6))}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, {"image": self.encode(number), "label": number % 3, "file_name": f"{number}.jpg"}

    def encode(self, number):
        return io.BytesIO(jpeg(number))


class TinyDamaged(TinyLabels):
    """Images 3, 4 and 17 are cut off."""

    def encode(self, number):
        return io.BytesIO(jpeg(number)[: 300 if number in (3, 4, 17) else None])


class TinyUnlabelled(TinyLabels):
    """Labels as in the test split of `imagenet2012`."""

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, {"image": self.encode(number), "label": -1, "file_name": ""}


class TinyArrays(TinyLabels):
    """Grey images that are stored as arrays."""

    image = tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8)

    def encode(self, number):
        return np.full((4, 4, 1), STEP * number, "uint8")


class TinyNumbers(TinyLabels):
    """Labels that are no classes."""

    label = np.int64


class TinyFloats(TinyLabels):
    """Images of an unknown scale."""

    image = tfds.features.Tensor(shape=(4, 4, 3), dtype=np.float32)


class TinyManual(TinyLabels):
    """Files that must be downloaded by hand, as those of `imagenet2012`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Sign up and download."

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(len(list(dl_manager.manual_dir.iterdir()))))}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    shards = tfds.download.DownloadConfig(num_shards=5)
    for name in ("tiny_labels", "tiny_damaged"):
        tfds.builder(name, data_dir=folder).download_and_prepare(download_config=shards)
    return folder


@pytest.fixture
def dataset(data_folder):
    return ClassificationDataset.from_tfds("tiny_labels", data_dir=data_folder)


def read(batches):
    return [tuple(batch) for batch in batches.as_numpy_iterator()]


def numbers(batches):
    """Returns the numbers of the images in each batch."""
    return [np.round(images[:, -1, -1, 1] / STEP).astype(int).tolist() for images, *_ in batches.as_numpy_iterator()]


def flat(batches):
    return [number for batch in numbers(batches) for number in batch]


def test_evaluation_in_the_order_of_the_files(dataset):
    assert dataset.class_names == NAMES and dataset.num_classes == 3
    assert len(dataset) == 40
    batches = dataset.batches(16, image_size=2)
    assert numbers(batches) == numbers(batches) == [[*range(16)], [*range(16, 32)], [*range(32, 40)]]
    labels = np.concatenate([labels for _, labels in read(batches)])
    assert labels.dtype == np.int64 and labels.tolist() == [number % 3 for number in range(40)]


def test_the_same_pixels_as_from_a_folder(dataset, tmp_path):
    for number in range(40):
        path = tmp_path / NAMES[number // 14] / f"{number:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(number))
    folder = ClassificationDataset.from_folder(tmp_path)
    for (images, _), (expected, _) in zip(
        read(dataset.batches(20, image_size=8)), read(folder.batches(20, image_size=8)), strict=True
    ):
        np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train[3:9]", [*range(3, 9)]),
        ("train[90%:]", [36, 37, 38, 39]),
        ("test[4:]+train[38:]", [4, 5, 38, 39]),
    ],
)
def test_parts_of_splits(data_folder, split, expected):
    """Files have eight images, so `train[3:9]` begins and ends within one."""
    dataset = ClassificationDataset.from_tfds("tiny_labels", split, data_folder)
    assert len(dataset) == len(expected)
    assert flat(dataset.batches(**SMALL)) == expected
    assert sorted(flat(dataset.batches(len(expected), image_size=2, training=True))) == sorted(expected)


def test_load_and_subset(dataset):
    for index in (0, 9, 39):
        image, label = dataset.load(index)
        assert image.shape == (12, 9 + index, 3) and image.dtype == np.uint8 and label == index % 3
        assert round(image[-1, -1, 1] / STEP) == index
    part = dataset.subset([12, 3, 17, 16, 18])
    assert len(part) == 5 and flat(part.batches(**SMALL)) == [12, 3, 17, 16, 18]
    assert sorted(flat(part.batches(5, image_size=2, training=True))) == [3, 12, 16, 17, 18]
    assert part.subset([1]).load(0)[1] == 0
    assert part.digest() == dataset.subset([12, 3, 17, 16, 18]).digest() != dataset.digest()


def test_names_of_splits(dataset, data_folder):
    assert tfds_labels.split_names("tiny_labels", data_folder) == ["test", "train"]
    with pytest.raises(ValueError, match=r"Name the splits .*split='train\[10%:\]'"):
        dataset.split(0.1)


def test_epochs(dataset):
    batches = dataset.batches(12, image_size=2, training=True, seed=5)
    assert len(batches) == 3
    epochs = [numbers(batches) for _ in range(3)]
    for epoch in epochs:
        order = np.concatenate(epoch).tolist()
        assert len(set(order)) == 36, "no image comes twice"
        assert np.mean(np.abs(np.diff(order)) == 1) < 0.3, "and no longer in order"
    assert epochs[0] != epochs[1] != epochs[2]
    for images, labels in read(batches):
        assert labels.tolist() == [int(np.round(image[-1, -1, 1] / STEP)) % 3 for image in images]
    keras.utils.set_random_seed(0)  # of 0, `tf.data.Dataset.shuffle` takes no seed in a graph
    stream = dataset.batches(12, image_size=2, training=True, seed=5, epochs=(0, 3))
    assert numbers(stream) == [batch for epoch in epochs for batch in epoch]
    assert numbers(dataset.batches(12, image_size=2, training=True, seed=5, epochs=(2, 3))) == epochs[2]
    assert numbers(dataset.batches(12, image_size=2, training=True, seed=6)) != epochs[0]


def test_files_and_records_are_shuffled(data_folder, dataset, monkeypatch):
    """The eight images of one file do not stay in order; without a buffer only the files change places."""
    one_file = ClassificationDataset.from_tfds("tiny_labels", "train[:8]", data_folder)
    orders = [flat(one_file.batches(8, image_size=2, training=True, seed=seed)) for seed in range(2)]
    assert all(sorted(order) == [*range(8)] for order in orders)
    assert orders[0] != orders[1] and [*range(8)] not in orders
    monkeypatch.setattr(dataset._source, "shuffle_buffer", 1)
    first_of_files = {tuple(flat(dataset.batches(8, image_size=2, training=True, seed=seed))[:5]) for seed in range(2)}
    assert len(first_of_files) == 2 and all(sorted(order) == [0, 8, 16, 24, 32] for order in first_of_files)


@pytest.mark.parametrize("training", [True, False])
def test_shards(dataset, monkeypatch, training):
    arguments = {**SMALL, "training": training}
    whole = numbers(dataset.batches(**arguments))
    parts = [numbers(dataset.batches(**arguments, shard=(index, 2))) for index in range(2)]
    for index, batch in enumerate(whole):
        assert sorted(number for part in parts for number in part[index]) == sorted(batch)

    batches, names = dataset.batches(**arguments, shard=(1, 2)), []
    decode_image = data_tfds.decode_image
    monkeypatch.setattr(data_tfds, "decode_image", lambda data, name: names.append(name) or decode_image(data, name))
    assert numbers(batches) == parts[1]
    assert len(names) == len(set(names)) == 20, "images of other shards are not decoded"


def test_unreadable_images(data_folder, caplog):
    dataset = ClassificationDataset.from_tfds("tiny_damaged", data_dir=data_folder)
    kept = [number for number in range(40) if number not in (3, 4, 17)]
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        assert flat(dataset.batches(**SMALL)) == kept
    names = [f"tiny_damaged-train.tfrecord-0000{file}-of-00005__{row}" for file, row in ((0, 3), (0, 4), (2, 1))]
    assert dataset.unreadable == names
    assert len(caplog.messages) == 3
    assert all(
        any(message.startswith(f"{name!r} is not a readable image") for message in caplog.messages) for name in names
    )
    stream = dataset.batches(**SMALL, training=True, epochs=(0, 3))
    epochs = np.array(numbers(stream)).reshape(3, 40)
    assert all(sorted(epoch) == sorted([*kept, 5, 5, 18]) for epoch in epochs), "the next ones come instead"
    np.testing.assert_array_equal(flat(dataset.batches(**SMALL, training=True, epochs=(2, 3))), epochs[2])
    for images, labels in read(stream):
        assert labels.tolist() == [int(np.round(image[-1, -1, 1] / STEP)) % 3 for image in images]


def test_an_epoch_goes_on_from_a_step(dataset, monkeypatch):
    """Records before it are passed over, not decoded."""
    arguments = {"batch_size": 12, "image_size": 2, "training": True}
    whole = numbers(dataset.batches(**arguments, epochs=(1, 3)))
    stream, names = dataset.batches(**arguments, epochs=(1, 3), first_step=2), []
    decode_image = data_tfds.decode_image
    monkeypatch.setattr(data_tfds, "decode_image", lambda data, name: names.append(name) or decode_image(data, name))
    assert numbers(stream) == whole[2:] and len(names) == 4 * 12


def test_weights(data_folder):
    dataset = ClassificationDataset.from_tfds("tiny_labels", "test", data_folder)
    parts = [read(dataset.batches(4, image_size=2, weighted=True, shard=(index, 2))) for index in range(2)]
    weights = np.array([[weights for *_, weights in part] for part in parts])
    np.testing.assert_allclose(weights, np.float32([[[8 / 6] * 2, [8 / 6, 0]]] * 2))


def test_ids_are_those_of_tfds(data_folder):
    """So that an image that a warning names is found again with TensorFlow Datasets."""
    read_config = tfds.ReadConfig(add_tfds_id=True)
    samples = tfds.load(
        "tiny_damaged",
        split="train",
        data_dir=data_folder,
        read_config=read_config,
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    ids = {sample["file_name"]: sample["tfds_id"].decode() for sample in samples.as_numpy_iterator()}
    dataset = ClassificationDataset.from_tfds("tiny_damaged", data_dir=data_folder)
    flat(dataset.batches(**SMALL))
    assert dataset.unreadable == sorted(ids[f"{number}.jpg".encode()] for number in (3, 4, 17))
    part = ClassificationDataset.from_tfds("tiny_damaged", "train[4:]", data_folder)
    flat(part.batches(**SMALL))
    assert part.unreadable == dataset.unreadable[1:]


def test_stored_arrays(tmp_path):
    dataset = ClassificationDataset.from_tfds("tiny_arrays", data_dir=tmp_path)
    assert flat(dataset.batches(**SMALL)) == [*range(40)]
    images, _ = read(dataset.batches(**SMALL))[1]
    np.testing.assert_array_equal(images[2], np.full((2, 2, 3), 60))


def test_errors(data_folder, tmp_path):
    with pytest.raises(ValueError, match=r"has no data set 'nonesuch'.*'imagenet2012'"):
        ClassificationDataset.from_tfds("nonesuch", data_dir=tmp_path)
    with pytest.raises(
        ValueError, match=r"'tiny_numbers' must have .*'label' \(ClassLabel\), it has .*'label' \(Tensor\)"
    ):
        ClassificationDataset.from_tfds("tiny_numbers", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"images of 'tiny_floats' must be uint8 or uint16, .* they are float32"):
        ClassificationDataset.from_tfds("tiny_floats", data_dir=tmp_path)
    with pytest.raises(ValueError, match="Unknown split 'tests'"):
        ClassificationDataset.from_tfds("tiny_labels", split="tests", data_dir=data_folder)
    with pytest.raises(ValueError, match=r"split 'train\[:0\]' of 'tiny_labels' has no images"):
        ClassificationDataset.from_tfds("tiny_labels", split="train[:0]", data_dir=data_folder)
    with pytest.raises(
        ValueError, match=r"(?s)'tiny_manual' cannot be prepared: Manual directory .*Sign up and download"
    ):
        ClassificationDataset.from_tfds("tiny_manual", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"have no labels \(-1\)"):
        ClassificationDataset.from_tfds("tiny_unlabelled", data_dir=tmp_path).batches(**SMALL)


def test_other_files(tmp_path):
    pytest.importorskip("array_record")
    tfds.builder("tiny_labels", data_dir=tmp_path, file_format="array_record").download_and_prepare()
    assert list(pathlib.Path(tmp_path).rglob("*.array_record*"))
    with pytest.raises(ValueError, match="'tiny_labels' is stored as 'array_record' files"):
        ClassificationDataset.from_tfds("tiny_labels", data_dir=tmp_path)
