"""Folders of class folders: what is found, and the batches for evaluation."""

import keras
import numpy as np
import pytest
from grey_fruit import LABELS, SMALL, Shift, flat, numbers, read
from PIL import Image

from keras_mambaout.classification import ClassificationDataset
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.reading import load_image

pytestmark = pytest.mark.no_backend  # `tf.data` makes the same batches for each


def test_what_is_found(fruit, tmp_path):
    folder = tmp_path / "fruit"
    assert fruit.class_names == ["apple", "banana", "cherry"] and fruit.num_classes == 3
    assert len(fruit) == 13
    assert (fruit.steps_per_epoch(4), fruit.steps_per_epoch(4, training=False)) == (3, 4)
    (folder / "cherry" / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("cherry/deep/er/20.JPG", "cherry/21.TiFF", ".hidden/1.png", "cherry/.22.png", "23.png"):
        Image.new("RGB", (4, 4), (200,) * 3).save(folder / name)
    (folder / "cherry" / "notes.txt").write_text("no image")
    again = ClassificationDataset.from_folder(str(folder))
    assert again.class_names == fruit.class_names and len(again) == 15
    assert numbers(again.batches(15, image_size=2)) == [[*range(13), 20, 20]]


def test_labels(fruit):
    images, labels = read(fruit.batches(13, image_size=2))[0]
    assert images.dtype == np.float32 and images.shape == (13, 2, 2, 3)
    assert labels.dtype == np.int64 and labels.tolist() == LABELS
    one_hot = read(fruit.batches(13, image_size=2, label_mode="categorical"))[0][1]
    assert one_hot.dtype == np.float32
    np.testing.assert_array_equal(one_hot, np.eye(3)[LABELS])


def test_classes_of_the_training_set(fruit, tmp_path):
    (tmp_path / "part" / "cherry").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "part" / "cherry" / "1.png")
    part = ClassificationDataset.from_folder(tmp_path / "part", fruit.class_names)
    assert part.class_names == fruit.class_names
    assert read(part.batches(2, image_size=2))[0][1].tolist() == [2]


def test_split(fruit, tmp_path):
    """Of each class the first, the fourth, ... image is held out."""
    train, held_out = fruit.split(1 / 3)
    assert flat(held_out.batches(**SMALL)) == [0, 3, 5, 8, 11]
    assert flat(train.batches(**SMALL)) == [1, 2, 4, 6, 7, 9, 10, 12]
    assert train.class_names == held_out.class_names == fruit.class_names
    assert [labels.tolist() for _, labels in read(held_out.batches(5, image_size=2))] == [[0, 0, 1, 1, 2]]
    assert len(fruit) == 13
    for share in (0, 0.0, 0.6, 1):
        with pytest.raises(ValueError, match="`share` must be a number above 0"):
            fruit.split(share)
    (tmp_path / "fruit" / "date").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "fruit" / "date" / "1.png")
    with pytest.raises(ValueError, match="Of classes with one image none can be held out: 'date'"):
        ClassificationDataset.from_folder(tmp_path / "fruit").split(0.5)


def test_evaluation_in_order(fruit):
    batches = fruit.batches(**SMALL)
    assert numbers(batches) == numbers(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12]]


@pytest.mark.parametrize(("size", "crop_pct", "crop_mode"), [(224, 1.0, "center"), (96, 0.875, "squash")])
def test_evaluation_has_the_pixels_of_timm(data_dir, tmp_path, size, crop_pct, crop_mode):
    """`resize_and_center_crop` is tested against timm; of these photos one is grey, with the name `.JPEG`."""
    photos = sorted((data_dir / "imagenet_samples" / "images").glob("*.JPEG"))[65:75]
    for index, photo in enumerate(photos):
        folder = tmp_path / str(index // 5)
        folder.mkdir(exist_ok=True)
        (folder / photo.name).symlink_to(photo)
    batches = ClassificationDataset.from_folder(tmp_path).batches(
        4, image_size=size, crop_pct=crop_pct, crop_mode=crop_mode
    )
    images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
    expected = [resize_and_center_crop(load_image(photo), size, crop_pct, crop_mode) for photo in photos]
    np.testing.assert_array_equal(images, expected)


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


@pytest.mark.parametrize(
    ("classes", "refused"),
    [
        (["train/a", "train/b", "val/a", "val/b"], True),
        (["train/a", "validation/a", "test/a"], True),
        (["train/a", "valid/a", "labels"], True),  # whatever else there is
        (["test/a", "test/b"], True),
        (["train", "bus", "test"], False),  # a train is a class too
        (["train/steam", "bus"], False),
    ],
)
def test_parts_are_no_classes(classes, refused, tmp_path):
    for name in classes:
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (6, 4)).save(tmp_path / name / "1.png")
    if not refused:
        assert len(ClassificationDataset.from_folder(tmp_path)) == len(classes)
        return
    with pytest.raises(ValueError, match=r"are not classes but parts of a data set, .*: give one of '.*(train|test)'"):
        ClassificationDataset.from_folder(tmp_path)


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
        ({"epochs": (0, 2)}, "for training: use `training=True`, or leave"),
        ({"augmentation": Shift()}, "for training: use `training=True`, or leave"),
        ({"training": True, "epochs": 3}, r"`epochs` must be None or \(first, stop\)"),
        ({"training": True, "epochs": (2, 2)}, r"`epochs` must be None or \(first, stop\)"),
        (
            {"training": True, "augmentation": "randaugment"},
            "must be a ClassificationAugmentation or None, got 'randaugment'",
        ),
        (
            {"training": True, "augmentation": Shift()},
            "needs `label_mode='categorical'`, got 'int'",
        ),
        ({"training": True, "weighted": True}, "`weighted=True` is for evaluation"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\)"),
        ({"shard": 1}, r"`shard` must be \(index, count\)"),
        ({"shard": (0, 3)}, "must be a multiple of their number 3, got 4"),
    ],
)
def test_bad_arguments(fruit, arguments, message):
    with pytest.raises(ValueError, match=message):
        fruit.batches(**{**SMALL, **arguments})
