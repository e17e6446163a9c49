"""What `detect` gives a model, and what it makes of its predictions."""

import numpy as np
import pytest
from pycocotools import mask as coder

from keras_mambaout.detection import detect
from keras_mambaout.detection.predicted_masks import paste_masks
from keras_mambaout.detection.resizing import ResizeRule

PHOTOS = [np.zeros((40, 80, 3), "uint8"), np.zeros((50, 20, 3), "uint8"), np.zeros((32, 32, 3), "uint8")]


class Fake:
    """Finds the same in each image: two boxes and padding, in an image of 64 x 64."""

    bounding_box_format = "xyxy"
    BOXES = np.array([[8.0, 4, 24, 20], [0, 8, 16, 32], [-1, -1, -1, -1]])

    def __init__(self, masks=True, **attributes):
        self.given, self.masks = [], masks
        for name, value in attributes.items():
            setattr(self, name, value)

    def predict_on_batch(self, inputs):
        self.given.append(inputs)
        count = len(inputs["images"] if isinstance(inputs, dict) else inputs)
        predictions = {"boxes": self.BOXES, "confidence": np.array([0.9, 0.6, -1]), "classes": np.array([1.0, 0, -1])}
        if self.masks:
            predictions["masks"] = np.stack([np.tri(28), np.ones((28, 28)), np.zeros((28, 28))])
        return {key: np.repeat(value[None], count, 0) for key, value in predictions.items()}


def test_boxes_of_each_photo():
    model = Fake(masks=False)
    found = detect(model, PHOTOS, 64, batch_size=2)
    assert [images.shape for images in model.given] == [(2, 64, 64, 3), (1, 64, 64, 3)]
    np.testing.assert_allclose(found[0]["boxes"], [[10, 5, 30, 25], [0, 10, 20, 40]])  # 64 / 80
    # 50 x 20 becomes 64 x 26: 1.28 and 1.3; what is right of the photo is clipped
    np.testing.assert_allclose(found[1]["boxes"][0], [8 / 1.3, 4 / 1.28, 24 / 1.3, 20 / 1.28], rtol=1e-6)
    assert found[0]["confidence"].tolist() == [0.9, 0.6] and found[0]["classes"].tolist() == [1, 0]
    assert all(sorted(objects) == ["boxes", "classes", "confidence"] for objects in found)
    assert len(detect(model, PHOTOS, 64, confidence_threshold=0.7)[0]["boxes"]) == 1


def test_sizes_where_the_model_takes_them():
    model = Fake(takes_sizes=True)
    detect(model, PHOTOS, (64, 48), batch_size=2)
    assert [inputs["images"].shape for inputs in model.given] == [(2, 64, 48, 3), (1, 64, 48, 3)]
    sizes = np.concatenate([inputs["sizes"] for inputs in model.given])
    assert sizes.dtype == np.int32 and sizes.tolist() == [[24, 48], [64, 26], [48, 48]]


def test_photos_of_one_bucket_are_together_and_come_back_in_order():
    """Photos of many sizes: wide ones first, then high ones, from small buckets to large ones."""
    sizes = [(40, 80), (50, 20), (32, 32), (60, 80), (80, 60), (64, 96), (30, 40), (90, 30), (20, 90), (41, 40)]
    photos = [np.zeros((*size, 3), "uint8") for size in sizes]
    model = Fake(takes_sizes=True)
    found = detect(model, photos, shortest_edge=48, longest_edge=80, batch_size=2)
    rule = ResizeRule(shortest_edge=48, longest_edge=80)
    shapes = [inputs["images"].shape[1:3] for inputs in model.given]
    assert set(shapes) <= set(rule.buckets)
    given = [tuple(size) for inputs in model.given for size in inputs["sizes"].tolist()]
    assert sorted(given) == sorted(rule.resized(*size) for size in sizes)
    assert [rule.bucket(size) for size in given] == sorted(rule.bucket(size) for size in given)
    for objects, size in zip(found, sizes, strict=True):
        scale = np.divide(size, rule.resized(*size))[[1, 0, 1, 0]]
        expected = np.clip([8.0, 4, 24, 20] * scale, 0, size[::-1] * 2)
        np.testing.assert_allclose(objects["boxes"][0], expected, rtol=1e-6)
        assert objects["masks"].shape[1:] == size


def test_masks_as_large_as_the_photos():
    for photo, objects in zip(PHOTOS, detect(Fake(), PHOTOS, 64), strict=True):
        assert objects["masks"].dtype == bool and objects["masks"].shape == (2, *photo.shape[:2])
    masks = detect(Fake(), PHOTOS[:1], 64)[0]["masks"]
    assert masks[1].sum() == masks[1, 10:40, :20].sum() == 30 * 20
    np.testing.assert_array_equal(masks[0], paste_masks(np.tri(28)[None], [[10, 5, 30, 25]], (40, 80))[0])


def test_masks_as_run_lengths_and_as_they_are():
    images, runs, boxes = (detect(Fake(), PHOTOS, 64, masks=masks) for masks in ("image", "rle", "box"))
    for image, encoded, box in zip(images, runs, boxes, strict=True):
        np.testing.assert_array_equal(np.moveaxis(coder.decode(encoded["masks"]), -1, 0), image["masks"])
        np.testing.assert_array_equal(box["masks"], [np.tri(28), np.ones((28, 28))])
    assert detect(Fake(), PHOTOS, 64, confidence_threshold=0.95, masks="rle")[0]["masks"] == []


def test_unknown_masks():
    with pytest.raises(ValueError, match="`masks` must be one of 'image', 'rle', 'box', got 'polygons'"):
        detect(Fake(), PHOTOS, 64, masks="polygons")


def test_no_photos_and_wrong_batches():
    assert detect(Fake(), [], 64) == []
    with pytest.raises(ValueError, match="`batch_size` must be an integer of 1 or more, got 0"):
        detect(Fake(), PHOTOS, 64, batch_size=0)
