"""The paper's augmentation of scenes: images and labels stay together, colours are as formulas have them."""

import colorsys

import numpy as np
import pytest
import small_segmenter as scenes

from keras_mambaout.data.resizing import pad_image, resize_image
from keras_mambaout.data.seeds import random_seed
from keras_mambaout.preprocessing.fitting import PADDING_COLOR
from keras_mambaout.segmentation import SegmentationAugmentation, SegmentationDataset
from keras_mambaout.segmentation.augmentation import distort_colours, random_place, resize_labels, resized

pytestmark = pytest.mark.no_backend

tf = pytest.importorskip("tensorflow")


def pair(height, width):
    labels = scenes.label_map(height, width)
    return scenes.colours(labels), labels


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [((40, 60), 1.0, (20, 30)), ((60, 40), 0.5, (15, 10)), ((20, 200), 1.0, (10, 100)), ((40, 60), 2.0, (40, 60))],
)
def test_sizes(size, scale, expected):
    """The short side becomes 20, unless the long side would be more than 100; both times the scale."""
    assert tuple(resized(size, (20, 100), scale).numpy()) == expected


def test_labels_go_to_the_nearest_pixel():
    labels = np.arange(16, dtype="uint8").reshape(4, 4)
    np.testing.assert_array_equal(resize_labels(labels, (2, 2)), labels[1::2, 1::2])
    np.testing.assert_array_equal(resize_labels(labels, (8, 8)), labels.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("size", [(30, 45), (97, 130), (40, 90)])
def test_a_part_of_a_resized_image_is_as_if_cut_out_of_it(size):
    image, _ = pair(64, 96)
    whole = tf.clip_by_value(tf.image.resize(image, size, antialias=True), 0.0, 255.0)
    np.testing.assert_allclose(resize_image(image, size), whole, atol=1e-3)
    part = resize_image(image, size, (7, 11), (20, 25))
    np.testing.assert_allclose(part, whole[7:27, 11:36], atol=0.02)  # places are rounded to float32


@pytest.mark.parametrize("size", [(4, 6), (4, 9), (7, 6), (8, 9)])
def test_images_are_filled_up_with_the_mean_colour(size):
    image = tf.random.uniform((4, 6, 3))
    filled = pad_image(image, size).numpy()
    assert filled.shape == (*size, 3)
    np.testing.assert_array_equal(filled[:4, :6], image)
    filled[:4, :6] = PADDING_COLOR
    np.testing.assert_array_equal(filled, np.broadcast_to(np.float32(PADDING_COLOR), filled.shape))


def test_images_and_labels_stay_together():
    augmentation, sizes, mirrored = SegmentationAugmentation(photometric_distortion=False), set(), set()
    for number in range(30):
        image, labels = augmentation(*pair(80, 120), (80, 320), 128, random_seed(0, number))
        assert max(labels.shape) <= 128 and image.shape[:2] == labels.shape
        sizes.add(tuple(labels.shape))
        distance = np.abs(image.numpy() - scenes.colours(labels.numpy())).max(-1)
        assert (distance < 1).mean() > 0.75, number  # all but the borders, which are interpolated
        lower = labels.numpy()[-1]
        if {1, 2} <= set(lower):
            mirrored.add(bool(lower[0] == 2))
    assert len(sizes) > 3 and mirrored == {False, True}


def test_mirroring():
    image, labels = pair(40, 60)
    always = SegmentationAugmentation(scale_range=(1.0, 1.0), cat_max_ratio=1.0, flip=1.0, photometric_distortion=False)
    mirrored = always(image, labels, (40, 160), 64, random_seed(0, 1))
    np.testing.assert_array_equal(mirrored[0], image[:, ::-1])
    np.testing.assert_array_equal(mirrored[1], labels[:, ::-1])


def crop(labels, cat_max_ratio, number):
    (top, left), (height, width) = random_place(labels, 16, cat_max_ratio, random_seed(3, number))
    return labels[top : top + height, left : left + width]


def test_crops_of_one_class_are_drawn_anew():
    labels = np.zeros((64, 64), "uint8")
    labels[:, 40:] = 1
    labels[:16, :16] = 255

    def mixed(part):
        counts = np.bincount(part[part != 255], minlength=2)
        return counts.max() < 0.75 * counts.sum()

    first = np.mean([mixed(crop(labels, 1.0, number)) for number in range(60)])
    limited = np.mean([mixed(crop(labels, 0.75, number)) for number in range(60)])
    assert first < 0.4 and limited > 0.65, (first, limited)


def test_crops_where_no_other_can_be_had():
    """All of one class, or nothing that counts: the eleventh is taken."""
    for value in (1, 255):
        part = crop(np.full((40, 20), value, "uint8"), 0.75, 0)
        assert part.shape == (16, 16) and (part == value).all()


def test_crops_come_from_everywhere():
    rows, columns = np.mgrid[:20, :18]
    labels = (rows * 12 + columns).astype("uint8")
    corners = {int(crop(labels, 1.0, number)[0, 0]) for number in range(200)}
    assert corners == {row * 12 + column for row in range(5) for column in range(3)}


def by_formulas(pixel, draws):
    """One pixel, 0-255; brightness, contrast, saturation, hue."""
    amounts = [draws[i + 4] if draws[i] < 0.5 else 0.5 for i in range(4)]
    contrast = 0.5 + amounts[1]
    pixel = np.clip(pixel + 64 * amounts[0] - 32, 0, 255)
    if draws[8] < 0.5:
        pixel = np.clip(contrast * pixel, 0, 255)
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel / 255)
    hue, saturation = (hue + 0.2 * amounts[3] - 0.1) % 1, min(saturation * (0.5 + amounts[2]), 1)
    pixel = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    return pixel if draws[8] < 0.5 else np.clip(contrast * pixel, 0, 255)


@pytest.mark.parametrize("seed", range(8))
def test_colours(seed):
    random = np.random.RandomState(seed)
    image, draws = random.uniform(0, 255, (3, 4, 3)), random.uniform(size=9)
    found = distort_colours(tf.constant(image, tf.float32), tf.constant(draws, tf.float32))
    expected = [[by_formulas(pixel, draws) for pixel in row] for row in image]
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_colours_that_are_not_changed():
    image = np.random.RandomState(0).uniform(0, 255, (3, 4, 3)).astype("float32")
    found = distort_colours(tf.constant(image), tf.constant([0.9] * 4 + [0.1] * 5))
    np.testing.assert_allclose(found, image, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_range": (2.0, 0.5)}, "`scale_range` must be two numbers, the lower first"),
        ({"cat_max_ratio": 1.5}, "`cat_max_ratio`"),
        ({"flip": -1}, "`flip`"),
        ({"photometric_distortion": 1}, "`photometric_distortion` must be True or False"),
    ],
)
def test_numbers_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationAugmentation(**options)


def test_the_papers_augmentation_is_the_default(tmp_path):
    dataset = SegmentationDataset.from_folder(*scenes.write(tmp_path))
    options = {"batch_size": 4, "crop_size": 32, "shortest_edge": 40, "training": True, "seed": 1}
    (default,) = dataset.batches(**options).as_numpy_iterator()
    (given,) = dataset.batches(**options, augmentation=SegmentationAugmentation()).as_numpy_iterator()
    np.testing.assert_array_equal(default[0], given[0])
