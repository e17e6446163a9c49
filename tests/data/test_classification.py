"""Folders of class folders: what is found, and the batches made of it."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mambaout.data import ClassificationDataset
from keras_mambaout.preprocessing import augment
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.load_image import load_image

SIZES = {"apple": 5, "banana": 6, "cherry": 2}  # images of each class
LABELS = [0] * 5 + [1] * 6 + [2] * 2
SMALL = {"batch_size": 4, "image_size": 2}


class Augmentation:
    """Stands in for the real one: adds a random number below 1 to an image, mixes a batch by a random weight."""

    def __init__(self, mixing=True):
        self.mixing = mixing

    def image_transform(self, image_size):
        def transform(image, seed):
            resized = tf.image.resize(tf.cast(image, tf.float32), (image_size, image_size))
            return resized + tf.random.stateless_uniform((), seed)

        return transform

    def batch_transform(self):
        def mix(images, labels, seed):
            weight = tf.random.stateless_uniform((), seed)
            return [weight * value + (1 - weight) * value[::-1] for value in (images, labels)]

        return mix if self.mixing else None


def write_folder(folder, damaged=()):
    """Writes image `i`, counted over the classes, in the grey `10 * i`; returns the paths."""
    paths = []
    for name, size in SIZES.items():
        (folder / name).mkdir(parents=True)
        for _ in range(size):
            path = folder / name / f"{len(paths):02}.png"
            Image.new("RGB", (6, 4), (10 * len(paths),) * 3).save(path)
            if len(paths) in damaged:
                path.write_bytes(path.read_bytes()[:40])
            paths.append(str(path))
    return paths


@pytest.fixture
def dataset(tmp_path):
    write_folder(tmp_path / "fruit")
    return ClassificationDataset.from_folder(tmp_path / "fruit")


def read(batches):
    """Returns the arrays of all batches."""
    return [tuple(batch) for batch in batches.as_numpy_iterator()]


def numbers(batches):
    """Returns the numbers of the images in each batch."""
    return [(images[:, 0, 0, 0] // 10).astype(int).tolist() for images, *_ in batches.as_numpy_iterator()]


def flat(batches):
    """Returns the numbers of the images in all batches."""
    return [number for batch in numbers(batches) for number in batch]


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for array, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_what_is_found(dataset, tmp_path):
    folder = tmp_path / "fruit"
    assert dataset.class_names == ["apple", "banana", "cherry"] and dataset.num_classes == 3
    assert len(dataset) == 13
    assert (dataset.steps_per_epoch(4), dataset.steps_per_epoch(4, training=False)) == (3, 4)
    (folder / "cherry" / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("cherry/deep/er/20.JPG", "cherry/21.TiFF", ".hidden/1.png", "cherry/.22.png", "23.png"):
        Image.new("RGB", (4, 4), (200,) * 3).save(folder / name)
    (folder / "cherry" / "notes.txt").write_text("no image")
    again = ClassificationDataset.from_folder(str(folder))
    assert again.class_names == dataset.class_names and len(again) == 15
    assert numbers(again.batches(15, image_size=2)) == [[*range(13), 20, 20]]


def test_labels(dataset):
    images, labels = read(dataset.batches(13, image_size=2))[0]
    assert images.dtype == np.float32 and images.shape == (13, 2, 2, 3)
    assert labels.dtype == np.int64 and labels.tolist() == LABELS
    one_hot = read(dataset.batches(13, image_size=2, label_mode="categorical"))[0][1]
    assert one_hot.dtype == np.float32
    np.testing.assert_array_equal(one_hot, np.eye(3)[LABELS])


def test_classes_of_the_training_set(dataset, tmp_path):
    (tmp_path / "part" / "cherry").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "part" / "cherry" / "1.png")
    part = ClassificationDataset.from_folder(tmp_path / "part", dataset.class_names)
    assert part.class_names == dataset.class_names
    assert read(part.batches(2, image_size=2))[0][1].tolist() == [2]


def test_split(dataset, tmp_path):
    """Of each class the first, the fourth, ... image is held out."""
    train, held_out = dataset.split(1 / 3)
    assert flat(held_out.batches(**SMALL)) == [0, 3, 5, 8, 11]
    assert flat(train.batches(**SMALL)) == [1, 2, 4, 6, 7, 9, 10, 12]
    assert train.class_names == held_out.class_names == dataset.class_names
    assert [labels.tolist() for _, labels in read(held_out.batches(5, image_size=2))] == [[0, 0, 1, 1, 2]]
    assert len(dataset) == 13
    for share in (0, 0.0, 0.6, 1):
        with pytest.raises(ValueError, match="`share` must be a number above 0"):
            dataset.split(share)
    (tmp_path / "fruit" / "date").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "fruit" / "date" / "1.png")
    with pytest.raises(ValueError, match="Of classes with one image none can be held out: 'date'"):
        ClassificationDataset.from_folder(tmp_path / "fruit").split(0.5)


def test_evaluation_in_order(dataset):
    batches = dataset.batches(**SMALL)
    assert numbers(batches) == numbers(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12]]


@pytest.mark.parametrize(("size", "crop_pct", "crop_mode"), [(224, 1.0, "center"), (96, 0.875, "squash")])
def test_evaluation_has_the_pixels_of_timm(data_dir, tmp_path, size, crop_pct, crop_mode):
    """`resize_and_center_crop` is tested against timm; of these photos one is grey, with the name `.JPEG`."""
    photos = sorted((data_dir / "imagenet_samples" / "images").glob("*.JPEG"))[65:75]
    for index, photo in enumerate(photos):
        folder = tmp_path / str(index // 5)
        folder.mkdir(exist_ok=True)
        (folder / photo.name).symlink_to(photo)
    batches = ClassificationDataset.from_folder(tmp_path).batches(4, size, crop_pct=crop_pct, crop_mode=crop_mode)
    images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
    expected = [resize_and_center_crop(load_image(photo), size, crop_pct, crop_mode) for photo in photos]
    np.testing.assert_array_equal(images, expected)


def test_epochs_are_permutations(dataset):
    """Twelve of thirteen images come, each once; every image has its own label."""
    batches = dataset.batches(**SMALL, training=True, seed=3)
    assert len(batches) == 3 and batches.element_spec[0].shape == (4, 2, 2, 3)
    epochs = [flat(batches) for _ in range(4)]
    assert all(len(set(epoch)) == len(epoch) == 12 for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4
    assert {frozenset(epoch) for epoch in epochs} != {frozenset(epochs[0])}, "not always the same one is left out"
    for images, labels in batches.as_numpy_iterator():
        assert labels.tolist() == [LABELS[int(image[0, 0, 0]) // 10] for image in images]


def test_order_is_a_function_of_the_seed(dataset):
    keras.utils.set_random_seed(1)
    batches = dataset.batches(**SMALL, training=True, seed=3)
    epochs = [numbers(batches), numbers(batches)]
    keras.utils.set_random_seed(2)
    again = dataset.batches(**SMALL, training=True, seed=3)
    assert [numbers(again), numbers(again)] == epochs
    assert numbers(dataset.batches(**SMALL, training=True, seed=4)) != epochs[0]
    assert numbers(dataset.batches(**SMALL, training=True, seed=2**62)) != epochs[0]


AUGMENTED = {**SMALL, "training": True, "augmentation": Augmentation(), "label_mode": "categorical", "seed": 9}


def test_a_stream_is_the_epochs_in_turn(dataset):
    stream = dataset.batches(**AUGMENTED, epochs=(0, 3))
    assert len(stream) == 9
    batches = dataset.batches(**AUGMENTED)
    assert_same(read(stream), [batch for _ in range(3) for batch in read(batches)])


@pytest.mark.parametrize("damaged", [(), (1, 4, 7, 12)])
def test_a_stream_goes_on_where_another_stopped(tmp_path, damaged):
    write_folder(tmp_path, damaged)
    dataset = ClassificationDataset.from_folder(tmp_path)
    whole = read(dataset.batches(**AUGMENTED, epochs=(0, 5)))
    assert len(whole) == 5 * 3
    assert_same(read(dataset.batches(**AUGMENTED, epochs=(3, 5))), whole[9:])


def test_augmentation(dataset):
    """Every image, epoch and batch has random numbers of its own."""
    arguments = {**SMALL, "training": True, "seed": 9}
    plain = read(dataset.batches(**arguments, epochs=(0, 4)))
    shifted = read(dataset.batches(**arguments, epochs=(0, 4), augmentation=Augmentation(mixing=False)))
    shifts = np.concatenate([two - one for (one, _), (two, _) in zip(plain, shifted, strict=True)])[:, 0, 0, 0]
    assert shifts.min() >= 0 and shifts.max() < 1
    assert len(np.unique(np.round(shifts, 5))) > 46, "48 numbers, hardly any twice"
    mixed = read(dataset.batches(**AUGMENTED, epochs=(0, 4)))
    weights = []
    for (images, labels), (mixed_images, mixed_labels) in zip(shifted, mixed, strict=True):
        one_hot = np.eye(3)[labels]
        weights.append((mixed_images - images[::-1])[0, 0, 0, 0] / (images - images[::-1])[0, 0, 0, 0])
        np.testing.assert_allclose(mixed_images, weights[-1] * images + (1 - weights[-1]) * images[::-1], atol=1e-2)
        np.testing.assert_allclose(mixed_labels, weights[-1] * one_hot + (1 - weights[-1]) * one_hot[::-1], atol=1e-3)
    assert len(np.unique(np.round(weights, 4))) == 12


@pytest.mark.parametrize("training", [True, False])
def test_shards_divide_each_batch(dataset, training):
    arguments = {"batch_size": 6, "image_size": 2, "training": training, "epochs": (0, 3) if training else None}
    whole = numbers(dataset.batches(**arguments))
    parts = [numbers(dataset.batches(**arguments, shard=(index, 3))) for index in range(3)]
    assert {len(batch) for part in parts for batch in part[:2]} == {2}
    assert len(whole) == (6 if training else 3)
    for index, batch in enumerate(whole):
        together = [number for part in parts for number in (part[index] if index < len(part) else [])]
        assert sorted(together) == sorted(batch)


def test_shards_are_augmented_apart(dataset):
    """The random numbers of an image do not depend on the shard, those of a mixed batch do."""
    arguments = {"batch_size": 6, "image_size": 2, "training": True}
    shifted = {**arguments, "augmentation": Augmentation(mixing=False)}
    whole = np.concatenate([images for images, _ in read(dataset.batches(**shifted))])
    parts = [read(dataset.batches(**shifted, shard=(index, 2))) for index in range(2)]
    together = np.concatenate([images for part in parts for images, _ in part])
    np.testing.assert_array_equal(np.sort(together[:, 0, 0, 0]), np.sort(whole[:, 0, 0, 0]))
    mixed = {**arguments, "augmentation": Augmentation(), "label_mode": "categorical"}
    weights = []
    for index, part in enumerate(parts):
        images = part[0][0]
        result = read(dataset.batches(**mixed, shard=(index, 2)))[0][0]
        weights.append((result - images[::-1])[0, 0, 0, 0] / (images - images[::-1])[0, 0, 0, 0])
    assert abs(weights[0] - weights[1]) > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_images_of_other_shards_are_not_read(dataset, monkeypatch, training):
    """In the second of two shards are six of thirteen images."""
    batches = dataset.batches(2, image_size=2, training=training, shard=(1, 2))
    paths = []
    monkeypatch.setattr(
        "keras_mambaout.data.class_folders.load_image", lambda path: paths.append(path) or load_image(path)
    )
    found = flat(batches)
    assert len(found) == 6
    assert sorted(int(path[-6:-4]) for path in paths) == sorted(found)


def test_unreadable_images_in_evaluation(tmp_path, caplog):
    paths = write_folder(tmp_path, damaged=(0, 4, 12))
    dataset = ClassificationDataset.from_folder(tmp_path)
    assert dataset.unreadable == []
    batches = dataset.batches(**SMALL)
    with caplog.at_level(logging.WARNING):
        assert numbers(batches) == numbers(batches) == [[1, 2, 3, 5], [6, 7, 8, 9], [10, 11]]
    assert dataset.unreadable == [paths[0], paths[4], paths[12]]
    assert len(dataset) == 13
    assert len(caplog.messages) == 3, "each is named once"
    assert any(
        message.startswith(f"{paths[4]!r} is not a readable image, it may be damaged: ")
        and message.endswith("; it is left out.")
        for message in caplog.messages
    )


def test_unreadable_images_in_training(tmp_path):
    """Nine images for twelve places: the three that came first come again, augmented alike."""
    write_folder(tmp_path, damaged=(2, 3, 5, 11))
    dataset = ClassificationDataset.from_folder(tmp_path)
    batches = dataset.batches(**SMALL, training=True, augmentation=Augmentation(mixing=False), epochs=(0, 3))
    images = np.concatenate([images[:, 0, 0, 0] for images, _ in read(batches)]).reshape(3, 12)
    for epoch in images:
        assert sorted((epoch[:9] // 10).astype(int)) == [0, 1, 4, 6, 7, 8, 9, 10, 12]
        np.testing.assert_array_equal(epoch[9:], epoch[:3])


def test_errors_of_any_kind_do_not_end_a_training(tmp_path, monkeypatch, caplog):
    """Pillow's errors on damaged files are of many types."""

    def fail(path):
        if path.endswith("07.png"):
            raise IndexError("out of data")
        return load_image(path)

    paths = write_folder(tmp_path)
    monkeypatch.setattr("keras_mambaout.data.class_folders.load_image", fail)
    dataset = ClassificationDataset.from_folder(tmp_path)
    assert len(flat(dataset.batches(**SMALL))) == 12
    assert dataset.unreadable == [paths[7]]
    assert f"{paths[7]!r} is not a readable image" in caplog.text and "out of data" in caplog.text


def test_no_readable_image(tmp_path):
    write_folder(tmp_path, damaged=range(13))
    for training in (True, False):
        dataset = ClassificationDataset.from_folder(tmp_path)
        with pytest.raises(ValueError, match="None of the 13 images is readable"):
            dataset.batches(**SMALL, training=training)


class MeanColor(keras.Model):
    """Logits that depend on the image's mean colour only, by three fixed numbers."""

    def call(self, images):
        mean = keras.ops.mean(keras.ops.cast(images, "float32"), (1, 2, 3))[:, None] / 40  # (B, 1)
        return keras.ops.concatenate([1 - mean, mean - 1, 2 * mean - 4], -1)


@pytest.mark.parametrize(("damaged", "label_mode"), [((), "int"), ((3, 9), "categorical")])
def test_weights_make_the_mean_over_images(tmp_path, damaged, label_mode):
    """The mean over the shards of what Keras evaluates is the mean over images; worked out here by hand."""
    write_folder(tmp_path, damaged)
    dataset = ClassificationDataset.from_folder(tmp_path)
    arguments = {"batch_size": 4, "image_size": 2, "label_mode": label_mode, "weighted": True}
    kept = [number for number in range(13) if number not in damaged]
    mean = np.array(kept)[:, None] / 4
    logits = np.concatenate([1 - mean, mean - 1, 2 * mean - 4], -1)
    labels = np.array(LABELS)[kept]
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(kept)), labels]
    expected = losses.sum() / 13, np.mean(logits.argmax(-1) == labels)

    shards, images = [], 0
    for index in range(2):
        batches = dataset.batches(**arguments, shard=(index, 2))
        assert len(batches) == 4
        for batch in read(batches):
            assert batch[0].shape == (2, 2, 2, 3) and batch[2].dtype == np.float32 and batch[2].shape == (2,)
            assert set(batch[2].tolist()) <= {0.0, float(np.float32(16 / 13))}
            images += int((batch[2] > 0).sum())
        model = MeanColor()
        sparse = "Sparse" if label_mode == "int" else ""
        model.compile(
            loss=getattr(keras.losses, f"{sparse}CategoricalCrossentropy")(from_logits=True),
            weighted_metrics=[getattr(keras.metrics, f"{sparse}CategoricalAccuracy")(name="accuracy")],
        )
        weight = sum(batch[2].sum() for batch in read(batches))
        shards.append((model.evaluate(batches, verbose=0, return_dict=True), weight))
    assert images == len(kept)
    assert np.mean([results["loss"] for results, _ in shards]) == pytest.approx(expected[0], rel=1e-5)
    total = sum(results["accuracy"] * weight for results, weight in shards) / sum(weight for _, weight in shards)
    assert total == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, of a last batch that was not announced
def test_fit(data_dir):
    """Ten classes of small photos, as a stream: the loss falls, and validation with weights is that without."""
    train = ClassificationDataset.from_folder(data_dir / "cifar10_jpeg" / "train")
    test = ClassificationDataset.from_folder(data_dir / "cifar10_jpeg" / "test", train.class_names)
    assert (len(train), len(test), train.num_classes) == (1000, 200, 10)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(4), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Dense(10)])
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    stream = train.batches(50, image_size=32, training=True, epochs=(0, 3))
    weighted = test.batches(64, image_size=32, weighted=True)
    history = model.fit(
        stream, steps_per_epoch=20, epochs=3, shuffle=False, verbose=0, validation_data=weighted
    ).history
    assert history["loss"][2] < history["loss"][0] and history["val_accuracy"][2] > 0.15
    plain = model.evaluate(test.batches(64, image_size=32), verbose=0, return_dict=True)
    assert history["val_accuracy"][2] == pytest.approx(plain["accuracy"], abs=1e-6)
    assert history["val_loss"][2] == pytest.approx(plain["loss"], rel=1e-5)


def test_real_data(data_dir):
    flowers = ClassificationDataset.from_folder(data_dir / "flowers" / "train")
    assert flowers.class_names == ["daisy", "dandelion", "roses", "sunflowers", "tulips"] and len(flowers) == 200
    images, labels = read(flowers.batches(40, image_size=32, training=True))[0]
    assert images.shape == (40, 32, 32, 3) and images.max() > 200 and len(np.unique(labels)) == 5


def test_the_augmentation_of_the_paper(data_dir):
    """What it does to the pixels is tested with it; here that a resumed training sees the same ones."""
    flowers = ClassificationDataset.from_folder(data_dir / "flowers" / "val")
    arguments = {"batch_size": 16, "image_size": 32, "training": True, "label_mode": "categorical"}
    whole = read(flowers.batches(**arguments, augmentation=augment.Augmentation(), epochs=(0, 2)))
    assert len(whole) == 6 and whole[0][0].shape == (16, 32, 32, 3) and whole[0][0].dtype == np.float32
    np.testing.assert_allclose(np.concatenate([labels.sum(-1) for _, labels in whole]), 1, rtol=1e-6)
    assert_same(read(flowers.batches(**arguments, augmentation=augment.Augmentation(), epochs=(1, 2))), whole[3:])


def test_bad_folders(tmp_path):
    with pytest.raises(ValueError, match=r"no folder of images .*nowhere' \(working directory"):
        ClassificationDataset.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no sub-folders and no images"):
        ClassificationDataset.from_folder(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="has no sub-folders and 1 images directly in it"):
        ClassificationDataset.from_folder(tmp_path)
    (tmp_path / "one").mkdir()
    with pytest.raises(ValueError, match=r"two classes or more, .* has the only sub-folder 'one'"):
        ClassificationDataset.from_folder(tmp_path)
    with pytest.raises(ValueError, match="one' is an empty class folder"):
        ClassificationDataset.from_folder(tmp_path, ["one", "two"])
    with pytest.raises(ValueError, match=r"1 of 1 sub-folders .* not among the 2 `class_names`: 'one'\."):
        ClassificationDataset.from_folder(tmp_path, ["three", "two"])
    for names in ("one", ["one"], ["one", "one"], ["one", 2]):
        with pytest.raises(ValueError, match="`class_names` must be two or more different names"):
            ClassificationDataset.from_folder(tmp_path, names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer of 1 or more"),
        ({"batch_size": 14, "training": True}, "13 images are not one batch of 14"),
        ({"image_size": (4, 4)}, "`image_size` must be an integer of 1 or more"),
        ({"crop_pct": 1.5}, "`crop_pct` must be"),
        ({"crop_mode": "random"}, "`crop_mode` must be one of"),
        ({"label_mode": "binary"}, "`label_mode` must be one of 'int', 'categorical'"),
        ({"seed": None}, "`seed` must be an integer from 0"),
        ({"seed": -1}, "`seed` must be an integer from 0"),
        ({"epochs": (0, 2)}, "`augmentation` and `epochs` are for training"),
        ({"augmentation": Augmentation()}, "`augmentation` and `epochs` are for training"),
        ({"training": True, "epochs": 3}, r"`epochs` must be None or \(first, stop\)"),
        ({"training": True, "epochs": (2, 2)}, r"`epochs` must be None or \(first, stop\)"),
        ({"training": True, "augmentation": "randaugment"}, "must be an Augmentation or None, got 'randaugment'"),
        ({"training": True, "augmentation": Augmentation()}, "needs `label_mode='categorical'`, got 'int'"),
        ({"training": True, "weighted": True}, "`weighted=True` is for evaluation"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\)"),
        ({"shard": 1}, r"`shard` must be \(index, count\)"),
        ({"shard": (0, 3)}, "must be a multiple of their number 3, got 4"),
    ],
)
def test_bad_arguments(dataset, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset.batches(**{**SMALL, **arguments})
