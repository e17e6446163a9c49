"""Batches: sizes, boxes, masks, mirroring and order, with numbers worked out by hand."""

import itertools

import keras
import numpy as np
import pytest
import tiny_coco

from keras_mambaout.detection import CocoDataset
from keras_mambaout.detection.box_formats import BOX_FORMATS
from keras_mambaout.detection.label_masks import draw_masks
from keras_mambaout.preprocessing.fitting import PADDING_COLOR

pytestmark = pytest.mark.no_backend  # `tf.data` makes the same batches for each


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset.from_json(*tiny_coco.write(tmp_path))


def first(dataset, **arguments):
    images, labels = next(dataset.batches(**arguments).as_numpy_iterator())
    return images, labels


def test_letterbox(dataset):
    images, labels = first(dataset, image_size=64, batch_size=4)
    assert images.shape == (4, 64, 64, 3) and images.dtype == np.float32
    # 60 x 40 becomes 64 x 42.67, rounded 64 x 43; 30 x 50 becomes 38.4, rounded 38, x 64
    np.testing.assert_allclose(labels["scale"], [[43 / 40, 64 / 60], [64 / 50, 38 / 30], [2, 2], [1.6, 1.6]], rtol=1e-6)
    np.testing.assert_allclose(images[0, :43], np.broadcast_to(np.float32(tiny_coco.GREY), (43, 64, 3)), atol=1e-3)
    np.testing.assert_allclose(images[0, 43:], np.broadcast_to(np.float32(PADDING_COLOR), (21, 64, 3)))
    np.testing.assert_allclose(images[1, :, 38:], np.broadcast_to(np.float32(PADDING_COLOR), (64, 26, 3)))
    assert np.abs(images[1, :, :38] - PADDING_COLOR).min() > 1
    x, y = 64 / 60, 43 / 40
    expected = [[6 * x, 4 * y, 36 * x, 24 * y], [50 * x, 30 * y, 60 * x, 40 * y]]  # the second was clipped
    np.testing.assert_allclose(labels["boxes"][0, :2], expected, rtol=1e-6)
    assert labels["boxes"].shape == (4, 100, 4) and labels["boxes"].dtype == np.float32
    np.testing.assert_array_equal(labels["boxes"][0, 2:], -1)
    np.testing.assert_array_equal(labels["boxes"][2:], -1)


def test_letterbox_of_height_and_width(dataset):
    images, labels = first(dataset, image_size=(20, 90), batch_size=4)
    assert images.shape == (4, 20, 90, 3)
    np.testing.assert_allclose(labels["scale"][0], [0.5, 0.5])
    np.testing.assert_allclose(labels["boxes"][0, 0], [3, 2, 18, 12])


def test_short_side(dataset):
    # 40 x 60: 20 / 40 would make 30 of the long side, so 24 / 60; 32 x 32 and 40 x 40: 20; 50 x 30: 24 / 50, 14.4
    # rounded 14. The high one comes last
    arguments = {"shortest_edge": 20, "longest_edge": 24, "pad_to_multiple": 1, "batch_size": 3}
    batches = list(dataset.batches(**arguments).as_numpy_iterator())
    assert [images.shape for images, _ in batches] == [(3, 20, 24, 3), (1, 24, 16, 3)]
    scale = np.concatenate([labels["scale"] for _, labels in batches])
    expected = [[0.4, 0.4], [20 / 32, 20 / 32], [0.5, 0.5], [24 / 50, 14 / 30]]
    np.testing.assert_allclose(scale, expected, rtol=1e-6)
    assert np.concatenate([labels["image_id"] for _, labels in batches]).tolist() == [7, 12, 20, 3]
    images, labels = batches[0]
    np.testing.assert_allclose(labels["boxes"][0, 0], [2.4, 1.6, 14.4, 9.6], rtol=1e-6)
    np.testing.assert_allclose(images[0, 16:], np.broadcast_to(np.float32(PADDING_COLOR), (4, 24, 3)))
    np.testing.assert_allclose(images[0, :16], np.broadcast_to(np.float32(tiny_coco.GREY), (16, 24, 3)), atol=1e-3)
    shapes = [images.shape for images, _ in dataset.batches(shortest_edge=40, batch_size=1)]
    assert shapes == [(1, 64, 64, 3), (1, 64, 64, 3), (1, 64, 64, 3), (1, 96, 64, 3)]  # 40 x 60, 40 x 40, 67 x 40


def test_masks(dataset):
    masks = first(dataset, image_size=(40, 60), batch_size=4, masks=True)[1]["masks"]
    assert masks.shape == (4, 100, 40, 60) and masks.dtype == np.uint8
    expected = np.zeros((40, 60))
    expected[4:24, 6:36] = 1
    np.testing.assert_array_equal(masks[0, 0], expected)
    expected = np.zeros((40, 60))
    expected[30:, 50:] = 1
    np.testing.assert_array_equal(masks[0, 1], expected)
    assert not masks[0, 2:].any() and not masks[2:].any()
    doubled = first(dataset.subset([0]), batch_size=1, shortest_edge=80, masks=True, pad_to_multiple=1)[1]["masks"]
    assert doubled.shape == (1, 100, 80, 120) and doubled[0, 0].sum() == 40 * 60


def test_masks_of_another_aspect_ratio():
    """Half as high, twice as wide: what was 20 high and 30 wide at 4, 6 is 10 and 60 at 2, 12."""
    mask = draw_masks([tiny_coco.rectangle(6, 4, 30, 20)], (40, 60), (20, 120))
    expected = np.zeros((1, 20, 120))
    expected[0, 2:12, 12:72] = 1
    np.testing.assert_array_equal(mask, expected)


def test_run_lengths_are_masks(tmp_path):
    labels = tiny_coco.content()
    labels["annotations"][5]["iscrowd"] = 0
    dataset = CocoDataset.from_json(*tiny_coco.write(tmp_path, labels)).subset([3])
    expected = np.zeros((80, 80))
    expected[:, :40] = 1
    np.testing.assert_array_equal(first(dataset, batch_size=1, image_size=80, masks=True)[1]["masks"][0, 0], expected)


# of the box left 6, top 4, right 36, bottom 24 in a batch 40 high and 80 wide
BY_HAND = {
    "xyxy": [6, 4, 36, 24],
    "yxyx": [4, 6, 24, 36],
    "xywh": [6, 4, 30, 20],
    "center_xywh": [21, 14, 30, 20],
    "center_yxhw": [14, 21, 20, 30],
    "rel_xyxy": [0.075, 0.1, 0.45, 0.6],
    "rel_yxyx": [0.1, 0.075, 0.6, 0.45],
    "rel_xywh": [0.075, 0.1, 0.375, 0.5],
}


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_box_formats(dataset, name):
    _, labels = first(dataset, batch_size=4, image_size=(40, 80), bounding_box_format=name)
    np.testing.assert_allclose(labels["boxes"][0, 0], BY_HAND[name], rtol=1e-6)
    np.testing.assert_array_equal(labels["boxes"][labels["classes"] < 0], -1)
    corners = first(dataset, batch_size=4, image_size=(40, 80))[1]["boxes"][0, :2]
    expected = keras.utils.bounding_boxes.convert_format(corners, source="xyxy", target=name, height=40, width=80)
    np.testing.assert_allclose(labels["boxes"][0, :2], keras.ops.convert_to_numpy(expected), rtol=1e-5)


def test_relative_boxes_are_relative_to_the_padded_batch(dataset):
    images, labels = first(dataset, shortest_edge=40, batch_size=1, bounding_box_format="rel_xyxy")
    assert images.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(labels["boxes"][0, 0], np.divide([6, 4, 36, 24], 64), rtol=1e-6)


def test_training_drops_images_without_objects_and_crowds(dataset):
    batches = list(dataset.batches(image_size=64, batch_size=1, training=True, flip=0).as_numpy_iterator())
    assert len(batches) == 2 == dataset.batches(image_size=64, batch_size=1, training=True).cardinality()
    assert all(sorted(labels) == ["boxes", "classes", "image_id"] for _, labels in batches)
    assert sorted(int((labels["classes"] >= 0).sum()) for _, labels in batches) == [1, 2]
    assert sum(len(images) for images, _ in dataset.batches(image_size=64, batch_size=3)) == 4


def test_the_largest_objects_are_kept(dataset):
    _, labels = first(dataset, batch_size=4, image_size=(40, 60), max_boxes=1)
    np.testing.assert_allclose(labels["boxes"][0], [[6, 4, 36, 24]])
    assert labels["classes"][0].tolist() == [2]


def test_flip(dataset):
    arguments = {"image_size": (40, 60), "batch_size": 1, "training": True, "masks": True, "seed": 1}
    straight = list(dataset.batches(**arguments, flip=0).as_numpy_iterator())
    flipped = list(dataset.batches(**arguments, flip=1).as_numpy_iterator())
    for (images, labels), (mirrored, mirrored_labels) in zip(straight, flipped, strict=True):
        wide = int(np.flatnonzero((np.abs(images[0] - PADDING_COLOR) > 1e-3).any((0, 2)))[-1]) + 1
        np.testing.assert_allclose(mirrored[:, :, :wide], images[:, :, :wide][:, :, ::-1], atol=1e-3)
        rows = labels["classes"][0] >= 0
        boxes, expected = labels["boxes"][0, rows], labels["boxes"][0, rows].copy()
        expected[:, 0], expected[:, 2] = wide - boxes[:, 2], wide - boxes[:, 0]
        np.testing.assert_allclose(mirrored_labels["boxes"][0, rows], expected, atol=1e-4)
        np.testing.assert_array_equal(mirrored_labels["boxes"][0, ~rows], -1)
        np.testing.assert_array_equal(mirrored_labels["masks"][..., :wide], labels["masks"][..., :wide][..., ::-1])
    by_class = {labels["classes"][0, 0]: labels["boxes"][0, 0] for _, labels in flipped}
    np.testing.assert_allclose(by_class[2], [24, 4, 54, 24])  # 60 - 36, 60 - 6


def test_masks_agree_with_their_boxes(coco128):
    """Flipped or not, what a mask covers is what its box says, to about a pixel."""
    for flip in (0, 1):
        differences = []
        batches = coco128.batches(batch_size=4, image_size=256, training=True, flip=flip, masks=True, seed=3)
        for _, labels in itertools.islice(batches.as_numpy_iterator(), 5):
            for image, row in np.argwhere(labels["classes"] >= 0):
                ys, xs = np.nonzero(labels["masks"][image, row])
                if len(xs):
                    drawn = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                    differences.append(np.abs(drawn - labels["boxes"][image, row]).max())
        assert len(differences) > 100
        assert np.percentile(differences, 99) < 3 and np.median(differences) < 1


def order(batches):
    return [float(labels["boxes"][0, 0].sum()) for _, labels in batches.as_numpy_iterator()]


def test_seed(coco128):
    dataset = coco128.subset(range(12))
    arguments = {"image_size": 32, "batch_size": 1, "training": True}
    batches = dataset.batches(**arguments, seed=5)
    epochs = [order(batches), order(batches)]
    assert epochs[0] != epochs[1], "each epoch is shuffled anew"
    again = dataset.batches(**arguments, seed=5)
    assert [order(again), order(again)] == epochs
    assert order(dataset.batches(**arguments, seed=6)) != epochs[0]
    still = dataset.batches(**arguments, seed=5, flip=0)
    first_epoch, second_epoch = order(still), order(still)
    assert first_epoch != second_epoch and sorted(first_epoch) == sorted(second_epoch)


def test_one_image_is_not_always_flipped_alike(dataset):
    batches = dataset.subset([0]).batches(batch_size=1, image_size=(40, 60), training=True, seed=0)
    lefts = {float(labels["boxes"][0, 0, 0]) for _ in range(10) for _, labels in batches.as_numpy_iterator()}
    assert lefts == {6, 24}


def test_half_of_the_images_are_flipped(coco128):
    arguments = {"image_size": 32, "batch_size": 1, "training": True, "seed": 2}
    straight, half = order(coco128.batches(**arguments, flip=0)), order(coco128.batches(**arguments))
    flipped = np.mean(np.abs(np.subtract(straight, half)) > 1e-4)
    assert 0.35 < flipped < 0.65


def test_real_data(coco128):
    batches = coco128.batches(batch_size=10, image_size=64)
    labels = [labels for _, labels in batches.as_numpy_iterator()]
    assert len(labels) == 13 == coco128.steps_per_epoch(10, training=False)
    assert np.concatenate([part["image_id"] for part in labels]).tolist() == coco128.image_ids
    classes = np.concatenate([part["classes"] for part in labels])
    assert int((classes >= 0).sum()) == 929  # 939 less 10 crowds
    empty = [image_id for image_id, row in zip(coco128.image_ids, classes, strict=True) if row.max() < 0]
    assert {250, 508} <= set(empty)
    training = coco128.batches(batch_size=1, image_size=64, training=True)
    assert len(training) == 128 - len(empty)
