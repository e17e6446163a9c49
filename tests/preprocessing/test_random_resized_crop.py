"""RandomResizedCrop: its boxes against the formula, its pixels against Pillow's."""

import keras
import numpy as np
import pytest
import seeded
import tensorflow as tf
from keras import ops
from PIL import Image

from keras_mambaout.classification.augmentation import StatelessSeeds
from keras_mambaout.preprocessing.random_resized_crop import RandomResizedCrop

RATIO = (3 / 4, 4 / 3)


def draw(layer, height, width, draws):
    """Returns what `draws` seeds draw for an image: a dict of arrays."""
    image = np.zeros((height, width, 3), "float32")
    layer.backend.set_backend("tensorflow")

    @tf.autograph.experimental.do_not_convert
    def one(index):
        return layer.get_random_transformation(image, seed=StatelessSeeds(tf.stack([index, 1])))

    boxes = list(tf.data.Dataset.range(draws).map(one, num_parallel_calls=2).batch(draws).as_numpy_iterator())
    layer.backend.reset()
    return boxes[0]


def expected_boxes(height, width, scale, ratio, draws):
    """Returns heights and widths by the formula, where one of ten tries fits."""
    random, boxes = np.random.RandomState(0), []
    for _ in range(draws):
        area = random.uniform(*scale, 10) * height * width
        shape = np.exp(random.uniform(*np.log(ratio), 10))
        sides = np.round(np.sqrt([area / shape, area * shape]))
        fits = np.flatnonzero((sides[0] <= height) & (sides[1] <= width))
        if fits.size:
            boxes.append(sides[:, fits[0]])
    return np.transpose(boxes)


@pytest.mark.parametrize(("height", "width"), [(500, 500), (333, 500)])
def test_boxes_are_distributed_as_the_formula_says(height, width):
    drawn = draw(RandomResizedCrop(32, 32), height, width, 3000)
    heights, widths = expected_boxes(height, width, (0.08, 1.0), RATIO, 20000)
    quantiles = np.linspace(0.02, 0.98, 25)
    shares = drawn["height"] * drawn["width"] / (height * width)
    np.testing.assert_allclose(
        np.quantile(shares, quantiles), np.quantile(heights * widths / (height * width), quantiles), atol=0.035
    )
    ratios = np.log(drawn["width"] / drawn["height"])
    np.testing.assert_allclose(
        np.quantile(ratios, quantiles), np.quantile(np.log(widths / heights), quantiles), atol=0.035
    )
    for place, side, whole in (("top", "height", height), ("left", "width", width)):
        assert drawn[place].min() >= 0 and (drawn[place] + drawn[side]).max() <= whole
        free = whole - drawn[side]
        places = (drawn[place] + np.random.RandomState(1).random_sample(free.shape)) / (free + 1)  # uniform in [0, 1)
        np.testing.assert_allclose(np.quantile(places, quantiles), quantiles, atol=0.035)
    assert 0.46 < drawn["interpolation"].mean() < 0.54


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (30, 300, (0, 130, 30, 40)),  # no box of half the area fits: the widest at the centre
        (300, 30, (130, 0, 40, 30)),
        (1, 1, (0, 0, 1, 1)),
    ],
)
def test_where_no_box_fits(height, width, box):
    drawn = draw(RandomResizedCrop(8, 8, scale=(0.5, 1.0)), height, width, 20)
    for name, value in zip(("top", "left", "height", "width"), box, strict=True):
        assert set(drawn[name]) == {value}, name


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [(3, 10, 90, 70), (40, 5, 13, 11)])  # made smaller, made larger
def test_pixels_are_those_of_pillow(interpolation, box):
    """Up to rounding, which Pillow does after each direction."""
    photo = seeded.photo(110, 130)
    top, left, height, width = box
    layer = RandomResizedCrop(32, 40, interpolation=interpolation)
    fixed = dict(zip(("top", "left", "height", "width"), box, strict=True), interpolation=0)
    ours = keras.ops.convert_to_numpy(layer.transform_single_image(keras.ops.convert_to_tensor(photo), fixed))
    method = Image.Resampling[interpolation.upper()]
    part = Image.fromarray(photo).crop((left, top, left + width, top + height))
    difference = np.abs(ours - np.asarray(part.resize((40, 32), method), "float32"))
    assert ours.shape == (32, 40, 3) and np.mean(difference <= 1) > 0.998 and difference.mean() < 0.33


def test_bicubic_stays_within_0_and_255():
    image = np.zeros((24, 24, 3), "float32")
    image[6:12, 6:12] = 255.0
    layer = RandomResizedCrop(50, 50, interpolation="bicubic")
    box = {"top": 2, "left": 3, "height": 15, "width": 12, "interpolation": 0}
    crop = keras.ops.convert_to_numpy(layer.transform_single_image(keras.ops.convert_to_tensor(image), box))
    assert crop.min() == 0.0 and crop.max() == 255.0 and np.mean(crop == 255.0) > 0.1


def test_without_training_it_resizes_and_crops_the_centre():
    photo = seeded.photo(60, 100)
    ours = keras.ops.convert_to_numpy(RandomResizedCrop(30, 30)(photo, training=False))
    pillow = Image.fromarray(photo).crop((20, 0, 80, 60)).resize((30, 30), Image.Resampling.BICUBIC)
    assert np.abs(ours - np.asarray(pillow, "float32")).max() <= 1.01


def test_inputs():
    """A batch shares its box; labels stay; sizes may be unknown in tf.data."""
    photo, label = seeded.photo(40, 50), np.array([0.0, 1.0], "float32")
    batch = {"images": np.stack([photo, 255 - photo]), "labels": np.stack([label, label])}
    output = RandomResizedCrop(16, 20, seed=3)(batch, training=True)
    images = keras.ops.convert_to_numpy(output["images"])
    assert images.shape == (2, 16, 20, 3) and images.std() > 5
    np.testing.assert_allclose(images[0], 255 - images[1], atol=1e-3)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(output["labels"]), batch["labels"])

    layer = RandomResizedCrop(16, 20)
    sizes = tf.data.Dataset.from_generator(
        lambda: (seeded.photo(*size) for size in ((40, 50), (21, 7), (1, 1))),
        output_signature=tf.TensorSpec((None, None, 3), "uint8"),
    )
    crops = sizes.map(lambda image: layer(image, training=True))
    assert crops.element_spec.shape == (16, 20, 3) and crops.element_spec.dtype == "float32"
    assert len(list(crops)) == 3
    assert layer.compute_output_shape((None, None, None, 3)) == (None, 16, 20, 3)


def test_channels_first():
    photo = seeded.photo(40, 50)
    outputs = []
    for data_format, image in (("channels_last", photo), ("channels_first", photo.transpose(2, 0, 1))):
        layer = RandomResizedCrop(16, 20, data_format=data_format)
        layer.backend.set_backend("tensorflow")
        drawn = layer.get_random_transformation(image, seed=StatelessSeeds(tf.constant([1, 2])))
        outputs.append(layer.transform_single_image(tf.constant(image), drawn).numpy())
    np.testing.assert_allclose(outputs[1].transpose(1, 2, 0), outputs[0], atol=1e-3)


def test_configuration():
    layer = RandomResizedCrop(16, 20, (0.2, 0.9), (0.5, 2.0), "bicubic", seed=5, name="crop")
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == "keras_mambaout>RandomResizedCrop"
    again = keras.saving.deserialize_keras_object(saved)
    assert again.get_config() == layer.get_config()
    assert (again.scale, again.ratio, again.interpolation) == ((0.2, 0.9), (0.5, 2.0), ("bicubic",))
    photos = tf.data.Dataset.from_tensors(seeded.photo(40, 50))
    outputs = [next(photos.map(crop).as_numpy_iterator()) for crop in (layer, again)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 0}, "`height` must be an integer of 1 or more, got 0"),
        ({"width": 8.0}, "`width` must be an integer of 1 or more, got 8.0"),
        ({"scale": (0.0, 1.0)}, "`scale` must be two numbers, the lower first, above 0 and at most 1"),
        ({"scale": (0.5, 1.1)}, "`scale` must be two numbers"),
        ({"scale": 0.5}, "`scale` must be two numbers"),
        ({"ratio": (2.0, 0.5)}, "`ratio` must be two numbers, the lower first, above 0, got"),
        ({"ratio": (0.5, float("nan"))}, "`ratio` must be two numbers"),
        ({"interpolation": "lanczos3"}, "`interpolation` must be 'bilinear' or 'bicubic', or several"),
        ({"interpolation": ()}, "`interpolation` must be"),
        ({"interpolation": 3}, "`interpolation` must be"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**{"height": 8, "width": 8, **arguments})


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [(20, 30), (40, 64), (64, 64), (65, 40), (90, 100)])
def test_antialiasing_wherever_the_box_is_larger(box, interpolation):
    """Where it is smaller there is nothing to smooth, and less work."""
    image = seeded.photo(90, 100).astype("float32")
    layer = RandomResizedCrop(64, 64, interpolation=interpolation)
    drawn = {"top": 0, "left": 0, "height": box[0], "width": box[1], "interpolation": 0}
    output = ops.convert_to_numpy(layer.transform_images(image, drawn))
    expected = ops.image.resize(image[: box[0], : box[1]], (64, 64), interpolation, antialias=True)
    np.testing.assert_allclose(output, ops.clip(expected, 0, 255), atol=0.01)
