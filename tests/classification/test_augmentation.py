"""The whole augmentation in tf.data: its parts, their order and rates, and that it keeps no state."""

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import seeded
import tensorflow as tf
from keras import ops
from paths import ROOT

from keras_mambaout.classification import augmentation
from keras_mambaout.classification.augmentation import ClassificationAugmentation, StatelessSeeds
from keras_mambaout.layers.image_normalization import IMAGENET_MEAN, IMAGENET_STD
from keras_mambaout.preprocessing.random_erasing import RandomErasing

OFF = {"rand_augment_ops": 0, "erasing": 0.0, "flip": 0.0, "mixup": 0.0, "cutmix": 0.0}
WHOLE = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "interpolation": "bilinear"}  # of a square image
BEYOND = 256.0  # no noise is as bright
SIZES = ((40, 50), (21, 70), (32, 32), (1, 3), (90, 64))


def augmented(transform, number, image=None, backwards=False, epochs=1, **options):
    """Returns `number` augmented images, each with its own seed: of `image`, or of photos of several sizes."""

    def read():
        for i in reversed(range(number)) if backwards else range(number):
            yield seeded.photo(*SIZES[i % len(SIZES)]) if image is None else image, [i, 7]

    signature = (tf.TensorSpec((None, None, 3), "uint8"), tf.TensorSpec((2,), "int64"))
    dataset = tf.data.Dataset.from_generator(read, output_signature=signature).map(transform, **options)
    assert dataset.element_spec.dtype == "float32" and None not in dataset.element_spec.shape
    return np.stack(list(dataset.repeat(epochs).as_numpy_iterator()))


@pytest.fixture(scope="module")
def paper():
    return ClassificationAugmentation().image_transform(32)


@pytest.fixture(scope="module")
def expected(paper):
    return augmented(paper, 40)


def test_defaults_are_those_of_the_paper():
    augmentation = ClassificationAugmentation()
    assert vars(augmentation) == {
        "crop_scale": (0.08, 1.0),
        "crop_ratio": (3 / 4, 4 / 3),
        "interpolation": ("bilinear", "bicubic"),
        "flip": 0.5,
        "rand_augment_ops": 2,
        "rand_augment_magnitude": 9.0,
        "rand_augment_std": 0.5,
        "erasing": 0.25,
        "mixup": 0.8,
        "cutmix": 1.0,
        "mix_probability": 1.0,
        "switch_probability": 0.5,
    }
    with pytest.raises(AttributeError):
        augmentation.flip = 0.0


def test_images_of_any_size(expected):
    assert expected.shape == (40, 32, 32, 3)
    assert expected.min() >= 0 and expected.max() <= 255 and expected.std() > 40
    assert len({image.tobytes() for image in expected}) == 40


class TestSeed:
    def test_same_pixels_in_each_epoch_in_parallel_and_in_any_order(self, paper, expected):
        images = augmented(paper, 40, backwards=True, epochs=2, num_parallel_calls=tf.data.AUTOTUNE)
        np.testing.assert_array_equal(images[39::-1], expected)
        np.testing.assert_array_equal(images[:39:-1], expected)

    def test_another_function_and_dtype_of_the_seed(self, expected):
        again = tf.function(ClassificationAugmentation().image_transform(32), autograph=False)
        image = seeded.photo(40, 50)
        for seed in (tf.constant([0, 7], "int64"), tf.constant([0, 7], "int32")):
            np.testing.assert_allclose(again(image, seed), expected[0], atol=1e-3)
        for seed in ([0, 8], [1, 7]):
            assert np.abs(again(image, tf.constant(seed)) - expected[0]).mean() > 1

    @pytest.mark.first_on("torch")
    def test_another_process_on_another_backend(self, expected):
        """tf.data runs TensorFlow's kernels everywhere: equal to the bit."""
        other = {"tensorflow": "torch", "jax": "tensorflow", "torch": "tensorflow"}[keras.backend.backend()]
        environment = {**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        result = subprocess.run([sys.executable, __file__], capture_output=True, text=True, env=environment, check=True)
        assert result.stdout.split() == [other, digest(expected)], result.stdout


def digest(images):
    mix = ClassificationAugmentation().batch_transform()
    images, labels = mix(tf.constant(images), tf.eye(len(images)), tf.constant([1, 2]))
    return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()


def test_seeds_of_keras_layers():
    seeds = StatelessSeeds(tf.constant([1, 2]))
    values = [seeds.next().numpy().tolist() for _ in range(5)]
    assert len({tuple(value) for value in values}) == 5
    assert isinstance(seeds, keras.random.SeedGenerator) and not hasattr(seeds, "state")
    again = StatelessSeeds(tf.constant([1, 2]))
    assert [again.next().numpy().tolist() for _ in range(5)] == values
    assert StatelessSeeds(tf.constant([2, 2])).next().numpy().tolist() not in values


def test_order_of_the_parts(monkeypatch):
    """As in timm: crop, flip, RandAugment, erasing."""
    ran = []

    def spy_on(owner, name, called):
        original = getattr(owner, name)

        def spy(*arguments):
            ran.append(called)
            return original(*arguments)

        monkeypatch.setattr(owner, name, spy)

    for part in (augmentation.RandomResizedCrop, augmentation.RandAugment, augmentation.RandomErasing):
        spy_on(part, "transform_single_image", part.__name__)
    spy_on(tf, "reverse", "flip")
    augmented(ClassificationAugmentation().image_transform(8), 1)
    assert ran == ["RandomResizedCrop", "flip", "RandAugment", "RandomErasing"]


@pytest.mark.parametrize("flip", [0.2, 1.0])
def test_flips(flip):
    image = seeded.photo(8, 8)
    outputs = augmented(ClassificationAugmentation(**{**OFF, **WHOLE, "flip": flip}).image_transform(8), 400, image)
    straight = np.abs(outputs - image).max(axis=(1, 2, 3)) < 1e-3
    mirrored = np.abs(outputs - image[:, ::-1]).max(axis=(1, 2, 3)) < 1e-3
    assert (straight ^ mirrored).all() and abs(mirrored.mean() - flip) < (0.06 if flip < 1 else 1e-9)


def test_what_is_switched_off_is_left_out():
    image = seeded.photo(16, 16)
    outputs = augmented(ClassificationAugmentation(**OFF, **WHOLE).image_transform(16), 20, image)
    np.testing.assert_allclose(outputs, np.broadcast_to(image, outputs.shape), atol=1e-3)
    changed = augmented(
        ClassificationAugmentation(**{**OFF, **WHOLE, "rand_augment_ops": 1}).image_transform(16), 100, image
    )
    share = np.mean(np.abs(changed - image).max(axis=(1, 2, 3)) > 1e-3)
    assert 0.3 < share < 0.6  # half of the time; a few operations do nothing here


class TestErasing:
    def erase(self, layer, shape):
        images = tf.data.Dataset.from_tensors(np.full(shape, BEYOND, "float32"))
        return next(images.map(lambda batch: layer(batch, training=True)).as_numpy_iterator())

    def test_rate_of_the_augmentation(self):
        white = np.full((16, 16, 3), 255, "uint8")
        images = augmented(
            ClassificationAugmentation(**{**OFF, **WHOLE, "erasing": 0.4}).image_transform(16), 400, white
        )
        assert abs((images < 254).any(axis=(1, 2, 3)).mean() - 0.4) < 0.06

    def test_rate_and_boxes(self):
        """Sides are `sqrt(U(0.02, 1/3))` of the image's: 0.16 of the area on average."""
        erased = (self.erase(RandomErasing(seed=1), (1500, 48, 48, 3)) < BEYOND).all(axis=-1)
        boxes = erased[erased.any(axis=(1, 2))]
        assert 0.22 < len(boxes) / 1500 < 0.28
        heights, widths = boxes.any(axis=2).sum(axis=1), boxes.any(axis=1).sum(axis=1)
        np.testing.assert_array_equal(boxes.sum(axis=(1, 2)), heights * widths)
        expected = np.sqrt(np.random.RandomState(0).uniform(0.02, 1 / 3, 20000))
        for sides in (heights / 48, widths / 48):
            quantiles = np.linspace(0.05, 0.95, 10)
            np.testing.assert_allclose(np.quantile(sides, quantiles), np.quantile(expected, quantiles), atol=0.04)
        assert abs(np.mean(heights * widths / 48**2) - 0.163) < 0.015

    def test_noise_is_standard_normal_once_normalised(self):
        images = self.erase(RandomErasing(1.0, (0.25, 0.25), seed=2), (40, 40, 40, 3))
        box = images[(images < BEYOND).all(axis=-1)]
        assert box.shape == (40 * 20 * 20, 3) and box.min() == 0 and box.max() == 255
        noise = (box / 255 - IMAGENET_MEAN) / IMAGENET_STD
        np.testing.assert_allclose(np.quantile(noise, [0.1587, 0.5, 0.8413], axis=0).T, [[-1, 0, 1]] * 3, atol=0.04)
        assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.04, "each channel has its own noise"
        assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.04, "each pixel has its own noise"

    def test_configuration_and_inputs(self):
        layer = RandomErasing(0.4, (0.1, 0.2), seed=3, data_format="channels_first", name="erase")
        saved = keras.saving.serialize_keras_object(layer)
        assert saved["registered_name"] == "keras_mambaout>RandomErasing"
        again = keras.saving.deserialize_keras_object(saved)
        assert again.get_config() == layer.get_config() and again.factor == (0.4, 0.4) and again.scale == (0.1, 0.2)
        black = np.zeros((3, 30, 30), "float32")
        image = ops.convert_to_numpy(RandomErasing(1.0, data_format="channels_first")(black, training=True))
        assert image.shape == black.shape and 0.01 < np.mean(image > 0) < 0.4
        np.testing.assert_array_equal(ops.convert_to_numpy(again(black, training=False)), black)
        with pytest.raises(ValueError, match="`probability` must be a number from 0 to 1, got 2"):
            RandomErasing(2)
        with pytest.raises(ValueError, match="RandomErasing takes RGB images"):
            RandomErasing()(np.zeros((8, 8, 1), "float32"), training=True)


class TestBatchTransform:
    def test_mixes_and_follows_from_the_seed(self):
        mix = ClassificationAugmentation().batch_transform()
        images = tf.data.Dataset.from_tensor_slices(
            (np.eye(10, dtype="float32")[:, None, None] * np.ones((6, 6, 1)), np.eye(10))
        )
        batches = images.map(lambda image, label: (tf.cast(image, "float32"), tf.cast(label, "float32"))).batch(4)
        seeds = tf.data.Dataset.range(30).map(lambda i: tf.stack([i, 7]))
        batches = tf.data.Dataset.zip((batches.repeat(10), seeds))
        batches = batches.map(lambda batch, seed: mix(*batch, seed), num_parallel_calls=tf.data.AUTOTUNE)
        epochs = [list(batches.as_numpy_iterator()) for _ in range(2)]
        for (pixels, labels), (pixels_again, labels_again) in zip(*epochs, strict=True):
            np.testing.assert_allclose(labels, pixels.mean(axis=(1, 2)), atol=1e-6)
            np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-6)
            np.testing.assert_array_equal(pixels, pixels_again)
            np.testing.assert_array_equal(labels, labels_again)
        assert [len(labels) for _, labels in epochs[0]] == [4, 4, 2] * 10
        assert len({labels.tobytes() for _, labels in epochs[0]}) > 20  # two images are often mixed with themselves

    def test_none_if_nothing_mixes(self):
        assert ClassificationAugmentation(mixup=0, cutmix=0).batch_transform() is None
        assert ClassificationAugmentation(mix_probability=0).batch_transform() is None
        assert ClassificationAugmentation(mixup=0).batch_transform() is not None

    def test_numbers_are_passed_on(self):
        mix = tf.function(ClassificationAugmentation(cutmix=0, mix_probability=0.3).batch_transform(), autograph=False)
        images, labels = tf.reshape(tf.eye(4), (4, 1, 1, 4)) * tf.ones((4, 5, 5, 1)), tf.eye(4)
        outputs = [mix(images, labels, tf.constant([i, 0])) for i in range(100)]
        mixed = [(pixels.numpy() != images.numpy()).any() for pixels, _ in outputs]
        assert 0.15 < np.mean(mixed) < 0.42
        assert max(np.ptp(pixels, axis=(1, 2)).max() for pixels, _ in outputs) < 1e-6, "Mixup only"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_scale": (0, 1)}, "`crop_scale` must be two numbers, the lower first, above 0 and at most 1"),
        ({"crop_ratio": (2, 1)}, "`crop_ratio` must be two numbers"),
        ({"interpolation": "area"}, "`interpolation` must be 'bilinear' or 'bicubic'"),
        ({"flip": 1.1}, "`flip` must be a number from 0 to 1, got 1.1"),
        ({"flip": True}, "`flip` must be a number from 0 to 1"),
        ({"rand_augment_ops": -1}, "`rand_augment_ops` must be an integer of 1 or more, got -1. 0 switches it off"),
        ({"rand_augment_ops": 1.5}, "`rand_augment_ops` must be an integer"),
        ({"rand_augment_magnitude": 10.5}, "`rand_augment_magnitude` must be a number from 0 to 10"),
        ({"rand_augment_std": -0.1}, "`rand_augment_std` must be a number of 0 or more"),
        ({"erasing": float("nan")}, "`erasing` must be a number from 0 to 1"),
        ({"mixup": 0.05}, "`mixup` must be a number 0.1 or more, or 0"),
        ({"cutmix": 1.5}, "`cutmix` must be a number from 0.1 to 1, or 0"),
        ({"mix_probability": 2}, "`mix_probability` must be a number from 0 to 1"),
        ({"switch_probability": -1}, "`switch_probability` must be a number from 0 to 1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassificationAugmentation(**arguments)


def test_image_size():
    with pytest.raises(ValueError, match="`image_size` must be an integer of 1 or more, got 0"):
        ClassificationAugmentation().image_transform(0)


if __name__ == "__main__":
    print(keras.backend.backend(), digest(augmented(ClassificationAugmentation().image_transform(32), 40)))
