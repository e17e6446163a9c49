"""Windows, scales and mirroring against loops, with models that see one pixel."""

import keras
import numpy as np
import pytest
import seeded
from PIL import Image
from small_segmenter import create

from keras_mambaout.segmentation import resize_bilinear, segment, slide
from keras_mambaout.segmentation.inference import resize_rows

PHOTO = seeded.photo(60, 97)


class Pixels:
    """Logits are the colours of the pixel, and the number of the window with `numbered`."""

    def __init__(self, numbered=False, sided=False):
        self.numbered, self.sided, self.shapes = numbered, sided, []

    def predict_on_batch(self, images):
        first = sum(shape[0] for shape in self.shapes)
        self.shapes.append(images.shape)
        logits = np.array(images) / 32
        if self.numbered:
            logits[..., 0] = np.arange(first, first + len(images))[:, None, None]
        if self.sided:
            logits[..., 0] += np.linspace(0, 8, images.shape[2])  # more to the right, of whatever it sees
        return logits


def by_loops(image, crop_size, stride):
    """mmsegmentation's windows: the mean of the numbers of those that see a pixel."""
    height, width = image.shape[:2]
    total, seen, number = np.zeros((height, width)), np.zeros((height, width)), 0
    rows = max(height - crop_size + stride - 1, 0) // stride + 1
    columns = max(width - crop_size + stride - 1, 0) // stride + 1
    for row in range(rows):
        for column in range(columns):
            bottom, right = min(row * stride + crop_size, height), min(column * stride + crop_size, width)
            top, left = max(bottom - crop_size, 0), max(right - crop_size, 0)
            total[top:bottom, left:right] += number
            seen[top:bottom, left:right] += 1
            number += 1
    return total / seen, number


@pytest.mark.parametrize(
    ("crop_size", "stride", "batch_size"), [(32, 21, 1), (32, 21, 4), (60, 40, 2), (64, 43, 1), (50, 50, 3), (20, 7, 5)]
)
def test_windows(crop_size, stride, batch_size):
    model = Pixels(numbered=True)
    logits = slide(model, PHOTO, crop_size, stride, batch_size)
    expected, count = by_loops(PHOTO, crop_size, stride)
    np.testing.assert_allclose(logits[..., 0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits[..., 1:], PHOTO[..., 1:] / 32, rtol=1e-5)
    assert sum(shape[0] for shape in model.shapes) == count
    assert {shape[1:3] for shape in model.shapes} == {(min(crop_size, 60), min(crop_size, 97))}


@pytest.mark.parametrize(("crop_size", "stride"), [(32, 21), (20, 13), (1, 1)])
def test_windows_are_two_thirds_apart_by_default(crop_size, stride):
    models = Pixels(numbered=True), Pixels(numbered=True)
    found = slide(models[0], PHOTO, crop_size), slide(models[1], PHOTO, crop_size, stride)
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(
        segment(models[0], [PHOTO], crop_size, shortest_edge=20),
        segment(models[1], [PHOTO], crop_size, stride, shortest_edge=20),
    )


def test_one_window_is_exactly_the_plain_prediction():
    model = create()
    image = seeded.photo(64, 64).astype("float32")
    plain = model.predict_on_batch(image[None])[0]
    np.testing.assert_array_equal(slide(model, image, 64, 43), plain)
    np.testing.assert_array_equal(slide(model, image, None), plain)
    (classes,) = segment(model, [image.astype("uint8")], 64, 43, shortest_edge=64)
    np.testing.assert_array_equal(classes, plain.argmax(-1))
    assert classes.dtype == np.int32


def test_photos_of_their_own_size():
    photos = [PHOTO, seeded.photo(200, 31)]
    found = segment(Pixels(), photos, 32, 21, shortest_edge=60, longest_edge=97)
    assert [classes.shape for classes in found] == [(60, 97), (200, 31)]
    np.testing.assert_array_equal(found[0], PHOTO.argmax(-1))  # not resized
    model = Pixels()
    segment(model, photos[1:], None, shortest_edge=60, longest_edge=97)
    assert model.shapes == [(1, 97, 15, 3)]  # 31 * 97 / 200 = 15.04


@pytest.mark.parametrize("size", [(90, 120), (17, 13), (31, 100), (40, 29)])
def test_rows_are_those_of_resize_bilinear(size):
    """Larger, smaller, and larger on one side: strips of any rows are the rows of the whole."""
    logits = np.random.default_rng(0).normal(size=(40, 29, 5)).astype("float32")
    expected = keras.ops.convert_to_numpy(resize_bilinear(logits[None], size))[0]
    for rows in (slice(0, 5), slice(5, size[0])):
        np.testing.assert_allclose(resize_rows(logits, size, rows), expected[rows], rtol=1e-4, atol=1e-5)


def test_pillow_blurs_what_it_makes_smaller():
    """Why `resize_rows` does without it: Pillow takes the mean of many rows, `resize_bilinear` of the nearest two."""
    logits = np.tile(np.float32([0, 0, 0, 1]), 10).reshape(40, 1, 1).repeat(4, 1)
    ours = resize_rows(logits, (10, 4), slice(0, 10))[:, 0, 0]
    theirs = np.asarray(Image.fromarray(logits[..., 0]).resize((4, 10), Image.Resampling.BILINEAR))[:, 0]
    np.testing.assert_allclose(ours, 0)
    assert theirs.min() > 0.15


def test_mirrored_photos_are_mirrored_back():
    """A model that finds more to the right of what it sees: with both views the sides are equal again."""
    photo = np.full((40, 40, 3), 128, "uint8")
    photo[..., 1] = 255
    options = {"crop_size": None, "shortest_edge": 40}
    (one,) = segment(Pixels(sided=True), [photo], **options)
    assert (one[:, 0] == 1).all() and (one[:, -1] == 0).all()
    (both,) = segment(Pixels(sided=True), [photo], flip=True, **options)
    np.testing.assert_array_equal(both, both[:, ::-1])


def test_several_scales_are_the_mean_of_probabilities():
    model, scales = Pixels(), (0.5, 1.0)
    (classes,) = segment(model, [PHOTO], None, shortest_edge=60, scales=scales, flip=True)
    assert [shape[1:3] for shape in model.shapes] == [(30, 49)] * 2 + [(60, 97)] * 2
    assert (classes == PHOTO.argmax(-1)).mean() > 0.8


def test_a_view_that_is_very_sure_counts_once():
    """Of probabilities two views outvote one; of logits they would not."""

    class OneSure:
        def __init__(self):
            self.logits = [[100.0, 0.0], [0.0, 8.0], [0.0, 8.0]]

        def predict_on_batch(self, images):
            return np.broadcast_to(np.float32(self.logits.pop()), (*images.shape[:3], 2))

    (classes,) = segment(OneSure(), [PHOTO], None, shortest_edge=60, scales=(0.5, 1.0, 1.5))
    assert (classes == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_size": 0}, "`crop_size`"),
        ({"crop_size": 32, "stride": 33}, r"`stride` must be at most `crop_size` \(32\)"),
        ({"longest_edge": 100}, "`longest_edge` must be at least `shortest_edge`"),
        ({"scales": ()}, "`scales` must be one or more numbers"),
        ({"scales": (0,)}, "`scales` must be a number above 0"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        segment(Pixels(), [PHOTO], **options)
    with pytest.raises(ValueError, match="uint8 array"):
        segment(Pixels(), [PHOTO.astype("float32")])
