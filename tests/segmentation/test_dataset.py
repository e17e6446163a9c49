"""Scenes: label maps of every kind, batches, and what is said of files that are wrong."""

import logging
import re
import struct
import zlib

import numpy as np
import pytest
import small_segmenter as scenes
from PIL import Image

from keras_mambaout.preprocessing.fitting import PADDING_COLOR
from keras_mambaout.segmentation import SegmentationAugmentation, SegmentationDataset

pytestmark = pytest.mark.no_backend

NOTHING = SegmentationAugmentation(scale_range=(1.0, 1.0), cat_max_ratio=1.0, flip=0.0, photometric_distortion=False)


@pytest.fixture
def folders(tmp_path):
    return scenes.write(tmp_path)


@pytest.fixture
def dataset(folders):
    return SegmentationDataset.from_folder(*folders)


def read(dataset, **options):
    return list(dataset.batches(**options).as_numpy_iterator())


def test_files(dataset, folders):
    assert len(dataset) == 4 and dataset.num_classes == 3 and dataset.class_names == ["red", "green", "blue"]
    assert dataset.paths == [str(folders[0] / f"{number}.png") for number in range(4)]
    image, labels = dataset.load(1)
    assert image.shape == (50, 30, 3) and image.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, scenes.label_map(50, 30))
    np.testing.assert_array_equal(image, scenes.colours(labels))
    dataset.check()


def test_subset(dataset):
    subset = dataset.subset([3, 1])
    assert subset.paths == [dataset.paths[3], dataset.paths[1]] and len(subset) == 2
    np.testing.assert_array_equal(subset.load(1)[1], scenes.label_map(50, 30))
    assert [image.shape for image, _ in read(subset, batch_size=1, crop_size=None, shortest_edge=40)] == [
        (1, 40, 40, 3),
        (1, 67, 40, 3),
    ]
    with pytest.raises(ValueError, match="each once, got 2"):
        dataset.subset([1, 1])


@pytest.mark.parametrize("split", ["training", "validation"])
def test_ade20k(tmp_path, split):
    """Its files have 0 for what does not count, and classes from 1."""
    for part in ("images", "annotations"):
        (tmp_path / part / split).mkdir(parents=True)
    numbers = np.tile(np.arange(151, dtype="uint8"), (4, 1))
    Image.fromarray(numbers).save(tmp_path / "annotations" / split / "ADE_1.png")
    Image.fromarray(np.zeros((4, 151, 3), "uint8")).save(tmp_path / "images" / split / "ADE_1.jpg")
    dataset = SegmentationDataset.from_ade20k(tmp_path, split)
    np.testing.assert_array_equal(dataset.load(0)[1][0], [255, *range(150)])
    assert dataset.num_classes == 150 and dataset.class_names[::149] == ["wall", "flag"]
    with pytest.raises(ValueError, match="`split` must be one of 'training', 'validation'"):
        SegmentationDataset.from_ade20k(tmp_path, "test")
    numbers[0, 0] = 151
    Image.fromarray(numbers).save(tmp_path / "annotations" / split / "ADE_1.png")
    with pytest.raises(ValueError, match=r"ADE_1\.png' has pixels of 151, which is none of the 150 classes \(1 to 150"):
        dataset.load(0)


def test_real_photos_of_ade20k(data_dir):
    folder, names = data_dir / "scenes" / "ade20k", [str(number) for number in range(1, 151)]
    dataset = SegmentationDataset.from_folder(
        folder / "images", folder / "annotations", names, label_ids=range(1, 151), ignore_ids=(0,)
    )
    dataset.check()
    numbers = np.asarray(Image.open(folder / "annotations" / "ADE_val_00000001.png"))
    image, labels = dataset.load(1)
    assert len(dataset) == 4 and image.shape == (512, 683, 3)
    np.testing.assert_array_equal(labels, np.where(numbers == 0, 255, numbers.astype(int) - 1))
    ((images, labels),) = read(dataset, batch_size=4, crop_size=128, training=True, seed=0)
    assert images.shape == (4, 128, 128, 3) and labels.shape == (4, 128, 128) and labels.dtype == np.int32
    assert np.isin(labels, [*range(150), 255]).all() and images.min() >= 0 and images.max() <= 255


def sixteen_grey_levels(numbers):
    """A PNG of four bits a pixel, which Pillow cannot write."""
    height, width = numbers.shape
    rows = b"".join(b"\0" + bytes(row[::2] * 16 + row[1::2]) for row in numbers.astype("uint8"))
    chunks = ((b"IHDR", struct.pack(">2I5B", width, height, 4, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    png = b"\x89PNG\r\n\x1a\n"
    for name, content in (*chunks, (b"IEND", b"")):
        png += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png


def test_kinds_of_pngs(tmp_path, folders):
    """Palette PNGs have indices, whatever their colours; numbers of few and of many bits are as they were written."""
    numbers = np.arange(16).reshape(4, 4)
    images, labels = tmp_path / "kinds", tmp_path / "numbers"
    for folder in (images, labels):
        folder.mkdir()
    palette = Image.fromarray(numbers.astype("uint8"))
    palette.putpalette([140, 140, 140] * 16)  # all of one colour
    palette.save(labels / "palette.png")
    palette.save(labels / "small_palette.png", bits=4)
    (labels / "sixteen.png").write_bytes(sixteen_grey_levels(numbers))
    Image.fromarray(numbers.astype("uint16")).save(labels / "words.png")
    Image.fromarray(numbers % 2 == 1).save(labels / "bits.png")
    for path in labels.iterdir():
        Image.fromarray(np.zeros((4, 4, 3), "uint8")).save(images / path.name)
    dataset = SegmentationDataset.from_folder(images, labels, [str(number) for number in range(16)])
    for number, path in enumerate(dataset.paths):
        expected = numbers % 2 if path.endswith("bits.png") else numbers
        np.testing.assert_array_equal(dataset.load(number)[1], expected, err_msg=path)


def test_numbers_of_classes(folders):
    """Any numbers, with gaps: here red is 2, green 0, and blue does not count."""
    dataset = SegmentationDataset.from_folder(*folders[:2], ["green", "red"], label_ids=[1, 0], ignore_ids=(2, 255))
    expected = np.array([1, 0, 255])[np.minimum(scenes.label_map(40, 60), 2)]
    np.testing.assert_array_equal(dataset.load(0)[1], np.where(scenes.label_map(40, 60) == 255, 255, expected))


def wrong_number(path):
    numbers = np.array(Image.open(path))
    numbers[3, 4] = 3
    Image.fromarray(numbers).save(path)


def wrong_colours(path):
    Image.open(path).convert("RGB").save(path)


def damaged(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_number, r"has pixels of 3, which is none of the 3 classes \(0 to 2\) and not ignored. Give `label_ids`"),
        (wrong_colours, r"is a colour image \(mode RGB\); a label map has one number per pixel"),
        (damaged, "is not a readable image"),
    ],
)
def test_wrong_label_maps_are_named(folders, spoil, message):
    spoil(folders[1] / "0.png")
    dataset = SegmentationDataset.from_folder(*folders)
    with pytest.raises(ValueError, match=rf"0\.png' {message}"):
        dataset.load(0)
    for call in (dataset.check, lambda: dataset.batches(2), lambda: dataset.batches(2, training=True)):
        with pytest.raises(ValueError, match=rf"1 of 4 label maps are wrong, the first: '.*0\.png' {message}"):
            call()
    dataset.load(1)
    dataset.subset([1, 2]).check()


def test_an_image_of_a_different_size_than_its_label_map_is_left_out(folders, caplog):
    Image.open(folders[0] / "1.png").crop((0, 0, 30, 40)).save(folders[0] / "1.png")
    dataset = SegmentationDataset.from_folder(*folders)
    message = r"1\.png' is 30 pixels wide and 40 high .* its label map '.*1\.png' is 30 x 50"
    with pytest.raises(ValueError, match=message):
        dataset.load(1)
    dataset.check()
    with caplog.at_level(logging.WARNING):
        ((_, labels),) = read(dataset, batch_size=4, crop_size=None, shortest_edge=40)
        assert [index for index, _ in dataset.examples()] == [0, 2, 3]
    assert len(labels) == 3 and dataset.unreadable == [dataset.paths[1]] and len(caplog.messages) == 1
    assert re.search(message, caplog.text)


def test_images_and_label_maps_go_together(folders, caplog):
    images, labels, names = folders
    (labels / "2.png").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(SegmentationDataset.from_folder(*folders)) == 3
    assert "1 of 4 images have no label map" in caplog.text
    (images / "1.png").unlink()
    dataset = SegmentationDataset.from_folder(*folders)
    with pytest.raises(ValueError, match=r"no image file '.*images/1\.png'"):
        dataset.load(1)
    assert [index for index, _ in dataset.examples()] == [0, 2] and dataset.unreadable == [str(images / "1.png")]
    for path in labels.iterdir():
        path.rename(labels / f"other_{path.name}")
    with pytest.raises(ValueError, match=r"None of 3 label maps has an image in .*: .*other_0\.png"):
        SegmentationDataset.from_folder(*folders)
    with pytest.raises(ValueError, match=r"There is no folder '.*nowhere'"):
        SegmentationDataset.from_folder(images, labels / "nowhere", names)
    for path in labels.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"There are no label maps, PNGs, in '.*'\. The image of"):
        SegmentationDataset.from_folder(*folders)
    (labels / "train").mkdir()
    with pytest.raises(ValueError, match=r"It has the folders 'train': give one that has label maps directly\."):
        SegmentationDataset.from_folder(*folders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["one"]}, "`class_names` must be 2 to 255 different names"),
        ({"label_ids": [0, 1]}, r"one number for each of the 3 classes, none of them in `ignore_ids`; got 2, \[\]"),
        ({"label_ids": [0, 1, 255]}, r"got 3, \[255\] of them in `ignore_ids`"),
        ({"label_ids": [0, 1, -2]}, "`label_ids` must be different integers from 0 to 65535"),
    ],
)
def test_arguments_of_folders_are_checked(folders, options, message):
    arguments = {"class_names": folders[2], **options}
    with pytest.raises(ValueError, match=message):
        SegmentationDataset.from_folder(*folders[:2], **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size`"),
        ({"crop_size": 1.5}, "`crop_size`"),
        ({"crop_size": None, "training": True}, "`crop_size`"),
        ({"shortest_edge": 100, "longest_edge": 99}, "`longest_edge` must be at least `shortest_edge`"),
        ({"augmentation": SegmentationAugmentation()}, "for training"),
        ({"epochs": (0, 1)}, "for training"),
        ({"epochs": (1, 1), "training": True}, "`epochs` must be None or"),
        ({"seed": 1.0}, "`seed` must be an integer"),
        ({"augmentation": "none", "training": True}, "`augmentation` must be a SegmentationAugmentation"),
        ({"batch_size": 5, "training": True}, "4 images are not one batch of 5"),
    ],
)
def test_arguments_of_batches_are_checked(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        dataset.batches(**{"batch_size": 2, **options})


def test_whole_images(dataset):
    """The largest of a batch is 67 x 60; what others have beyond does not count."""
    (first, second) = read(dataset, batch_size=2, crop_size=None, shortest_edge=40)
    assert first[0].shape == (2, 67, 60, 3) and first[1].shape == (2, 67, 60)
    np.testing.assert_array_equal(first[1][0, :40], scenes.label_map(40, 60))
    np.testing.assert_array_equal(first[0][0, :40], scenes.colours(scenes.label_map(40, 60)))
    assert (first[1][0, 40:] == 255).all() and (first[1][1, :, 40:] == 255).all()
    np.testing.assert_allclose(first[0][0, 40:], np.broadcast_to(np.float32(PADDING_COLOR), (27, 60, 3)))
    assert second[0].shape == (2, 40, 40, 3)


def test_centres(dataset):
    ((images, labels),) = read(dataset, batch_size=4, crop_size=36, shortest_edge=40)
    assert images.shape == (4, 36, 36, 3) and labels.dtype == np.int32 and images.dtype == np.float32
    np.testing.assert_array_equal(labels[0], scenes.label_map(40, 60)[2:38, 12:48])
    np.testing.assert_array_equal(images[0], scenes.colours(labels[0]))


def test_small_images_are_padded(dataset):
    """32 x 32 is smaller than the crop; without augmentation it stands at the top left."""
    subset = dataset.subset([2])
    ((images, labels),) = read(
        subset, batch_size=1, crop_size=50, shortest_edge=32, training=True, augmentation=NOTHING, seed=0
    )
    np.testing.assert_array_equal(labels[0, :32, :32], scenes.label_map(32, 32))
    np.testing.assert_array_equal(images[0, :32, :32], scenes.colours(scenes.label_map(32, 32)))
    assert (labels[0, 32:] == 255).all() and (labels[0, :, 32:] == 255).all()
    np.testing.assert_allclose(images[0, 32:], np.broadcast_to(np.float32(PADDING_COLOR), (18, 50, 3)))


def test_an_epoch_is_a_function_of_seed_and_number(dataset):
    options = {"batch_size": 2, "crop_size": 32, "shortest_edge": 40, "training": True}
    assert dataset.steps_per_epoch(2) == 2 and dataset.steps_per_epoch(3) == 1
    stream = dataset.batches(**options, seed=5, epochs=(0, 3))
    assert int(stream.cardinality()) == 6
    whole = list(stream.as_numpy_iterator())
    again = dataset.batches(**options, seed=5)
    assert int(again.cardinality()) == 2
    epochs = [batch for _ in range(3) for batch in again.as_numpy_iterator()]
    rest = read(dataset, **options, seed=5, epochs=(1, 3))
    for expected, other in zip(whole + whole[2:], epochs + rest, strict=True):
        for a, b in zip(expected, other, strict=True):
            np.testing.assert_array_equal(a, b)
    different = [read(dataset, **options, seed=6)[0], whole[2], read(dataset, **options)[0]]
    assert all((images != whole[0][0]).any() for images, _ in different)
