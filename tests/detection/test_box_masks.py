"""Batches with masks in the frames of their boxes, and with the sizes of their images."""

import numpy as np
import pytest
import tiny_coco

from keras_mambaout.detection import CocoDataset
from keras_mambaout.detection.label_masks import crop_masks
from keras_mambaout.preprocessing.fitting import PADDING_COLOR

pytestmark = pytest.mark.no_backend

L_SHAPE = [6, 4, 36, 4, 36, 9, 21, 9, 21, 24, 6, 24]  # in the box 6, 4, 30, 20: left half, and the upper quarter


@pytest.fixture
def dataset(tmp_path):
    labels = tiny_coco.content()
    labels["annotations"][0]["segmentation"] = [L_SHAPE]
    runs = {"counts": [500, 500, 500], "size": [50, 30]}  # x from 10 to 20: the right third of the box 0, 10, 15, 20
    labels["annotations"][1]["segmentation"] = runs
    return CocoDataset.from_json(*tiny_coco.write(tmp_path, labels))


def l_shape(size):
    mask = np.zeros((size, size))
    mask[:, : size // 2] = mask[: size // 4] = 1
    return mask


def first(dataset, **arguments):
    return next(dataset.batches(**{"masks": True, "mask_size": 8, **arguments}).as_numpy_iterator())


@pytest.mark.parametrize("resize", [{"image_size": 64}, {"image_size": (33, 77)}, {"shortest_edge": 40}])
def test_masks_do_not_depend_on_the_size_of_the_image(dataset, resize):
    batches = dataset.batches(4, **resize, masks=True, mask_size=8).as_numpy_iterator()
    masks, ids = (
        np.concatenate(parts) for parts in zip(*((y["masks"], y["image_id"]) for _, y in batches), strict=True)
    )
    masks = masks[[ids.tolist().index(image_id) for image_id in dataset.image_ids]]
    assert masks.shape == (4, 100, 8, 8) and masks.dtype == np.uint8
    np.testing.assert_array_equal(masks[0, 0], l_shape(8))
    np.testing.assert_array_equal(masks[0, 1], np.ones((8, 8)), "the part in the image of a box half outside")
    columns = (np.arange(8) + 0.5) * 15 / 8 >= 10
    np.testing.assert_array_equal(masks[1, 0], np.tile(columns, (8, 1)))
    assert not masks[0, 2:].any() and not masks[1, 1:].any() and not masks[2:].any()


def test_masks_are_mirrored_with_the_images(dataset):
    arguments = {"image_size": (40, 60), "batch_size": 1, "training": True, "flip": 1}
    labels = first(dataset.subset([0]), **arguments)[1]
    np.testing.assert_allclose(labels["boxes"][0, 0], [24, 4, 54, 24])  # 60 - 36, 60 - 6
    np.testing.assert_array_equal(labels["masks"][0, 0], l_shape(8)[:, ::-1])


def test_the_largest_objects_keep_their_masks(dataset):
    labels = first(dataset, batch_size=4, image_size=64, max_boxes=1)[1]
    assert labels["masks"].shape == (4, 1, 8, 8)
    np.testing.assert_array_equal(labels["masks"][0, 0], l_shape(8))


@pytest.mark.parametrize("flip", [0, 1])
def test_they_are_crops_of_the_masks_of_images(coco128, flip):
    """On real photos, mirrored or not."""
    arguments = {"batch_size": 4, "image_size": 256, "training": True, "flip": flip, "seed": 3, "masks": True}
    dataset = coco128.subset(range(12))
    whole = list(dataset.batches(**arguments).as_numpy_iterator())
    framed = list(dataset.batches(**arguments, mask_size=56).as_numpy_iterator())
    overlaps = []
    for (_, full), (_, labels) in zip(whole, framed, strict=True):
        np.testing.assert_array_equal(full["boxes"], labels["boxes"])
        for image, row in np.argwhere(labels["classes"] >= 0):
            box = labels["boxes"][image, row]
            if min(box[2:] - box[:2]) > 32:
                crop, mask = crop_masks(full["masks"][image, row][None], [box], 56)[0], labels["masks"][image, row]
                overlaps.append((crop & mask).sum() / (crop | mask).sum())
    assert len(overlaps) > 20 and np.mean(overlaps) > 0.95 and min(overlaps) > 0.8


@pytest.mark.parametrize("training", [False, True])
def test_sizes(dataset, training):
    arguments = {"shortest_edge": 40, "batch_size": 1, "training": training}
    shapes = {}
    for inputs, labels in dataset.subset([0, 1]).batches(**arguments, sizes=True).as_numpy_iterator():
        assert sorted(inputs) == ["images", "sizes"] and "size" not in labels and "bucket" not in labels
        assert inputs["images"].dtype == np.float32 and inputs["sizes"].dtype == np.int32
        (size,) = map(tuple, inputs["sizes"].tolist())
        shapes[size] = inputs["images"].shape
        shown = np.abs(inputs["images"][0] - PADDING_COLOR).max(-1) > 0.5
        assert (shown.any(1).sum(), shown.any(0).sum()) == size
    assert shapes == {(40, 60): (1, 64, 64, 3), (67, 40): (1, 96, 64, 3)}
    plain = next(dataset.subset([0]).batches(**arguments).as_numpy_iterator())[0]
    assert plain.shape == (1, 64, 64, 3)


def test_bad_mask_sizes(dataset):
    with pytest.raises(ValueError, match="use `masks=True` with it, got 112 alone"):
        dataset.batches(4, image_size=64, mask_size=112)
    with pytest.raises(ValueError, match="`mask_size` must be an integer of 1 or more, got 0"):
        dataset.batches(4, image_size=64, masks=True, mask_size=0)


def test_masks_of_objects(dataset):
    image, objects = dataset.load(0, masks=True)
    assert image.shape == (40, 60, 3)
    assert objects["masks"].shape == (2, 40, 60) and objects["masks"].dtype == bool
    expected = np.zeros((40, 60), bool)
    expected[4:24, 6:21] = expected[4:9, 6:36] = True
    np.testing.assert_array_equal(objects["masks"][0], expected)
    assert dataset.load(2, masks=True)[1]["masks"].shape == (0, 32, 32)
    assert sorted(dataset.load(0)[1]) == ["boxes", "classes"] and dataset.has_masks


def test_objects_without_masks(tmp_path):
    labels = tiny_coco.content()
    del labels["annotations"][0]["segmentation"]
    dataset = CocoDataset.from_json(*tiny_coco.write(tmp_path, labels))
    assert not dataset.has_masks
    with pytest.raises(ValueError, match="1 objects have none"):
        dataset.load(0, masks=True)
