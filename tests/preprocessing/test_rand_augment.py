"""RandAugment: its operations against timm's pixels, and how often each is run."""

import keras
import numpy as np
import pytest
import seeded
import tensorflow as tf
from keras import ops
from paths import ROOT

from keras_mambaout.classification.augmentation import StatelessSeeds
from keras_mambaout.preprocessing import rand_augment
from keras_mambaout.preprocessing.rand_augment import OPERATIONS, RandAugment

TIMM = dict(np.load(ROOT / "tests" / "fixtures" / "timm_augment.npz"))
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
NOTHING = len(OPERATIONS)


def chosen(operations, magnitude=9.0, sign=1.0):
    """Returns the transformation that runs these operations, one row of names an image."""
    places = [[[*OPERATIONS, "nothing"].index(name) for name in row] for row in operations]
    return {
        "operations": np.array(places, "int32"),
        "magnitudes": np.full(np.shape(places), magnitude, "float32"),
        "signs": np.full(np.shape(places), sign, "float32"),
    }


def run(name, image, magnitude, sign):
    image = ops.convert_to_tensor(image[None], "float32")
    strength, sign = (ops.convert_to_tensor(value, "float32") for value in (magnitude / 10, sign))
    return ops.convert_to_numpy(OPERATIONS[name](RandAugment(), image, strength, sign))[0]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_timm(name):
    """Up to rounding, and to the seam of what came into view, which Pillow does not blend."""
    cases = [key.split("/") for key in TIMM if key.split("/")[1] == name]
    assert len(cases) in (1, 2, 4)
    for size, _, magnitude, sign in cases:
        image = seeded.photo(*map(int, size.split("x")))
        ours = run(name, image, float(magnitude), float(sign))
        difference = np.abs(ours - TIMM[f"{size}/{name}/{magnitude}/{sign}"])
        assert ours.min() >= 0 and ours.max() <= 255
        if name in MOVES:
            assert np.mean(difference <= 1.01) > 0.93 and difference.mean() < 2
            assert np.median(difference) <= 1 and np.abs(ours - image).mean() > 10
        else:
            assert difference.max() < 1.5
        if name in ("equalize", "invert", "posterize", "solarize", "solarize_add"):
            np.testing.assert_array_equal(ours, TIMM[f"{size}/{name}/{magnitude}/{sign}"])


def test_operations_equal_those_of_keras():
    """Pixel by pixel; of sharpness inside the border, which Keras darkens."""
    image = seeded.photo(40, 30)
    image[..., 1] = 77
    expected = {
        "auto_contrast": keras.layers.AutoContrast()(image),
        "solarize": keras.layers.Solarization(threshold_factor=0.0, addition_factor=0.0),
        "sharpness": keras.layers.RandomSharpness((1.0 + 0.9 * 0.9) / 2),
    }
    expected["solarize"] = expected["solarize"].transform_images(image, {"additions": 0.0, "thresholds": 26.0})
    expected["sharpness"] = expected["sharpness"].transform_images(image[None], {"factor": 1.81 / 2})[0]
    for name, reference in expected.items():
        ours, reference = run(name, image, 9.0, 1.0), ops.convert_to_numpy(reference)
        inside = slice(1, -1) if name == "sharpness" else slice(None)
        np.testing.assert_allclose(ours[inside, inside], reference[inside, inside], atol=2e-4, err_msg=name)


def test_images_that_leave_nothing_to_stretch():
    for value in (0.0, 77.0, 255.0):
        image = np.full((8, 8, 3), value, "float32")
        for name in ("auto_contrast", "equalize", "sharpness", "contrast", "color"):
            np.testing.assert_allclose(run(name, image, 9.0, 1.0), image, atol=0.02)


def draw(layer, images):
    """Returns what is drawn for a batch of so many images, as arrays; by TensorFlow, on every backend."""
    layer.backend.set_backend("tensorflow")
    drawn = layer.get_random_transformation(np.zeros((images, 2, 2, 3)), seed=StatelessSeeds(tf.constant([1, 2])))
    return {key: values.numpy() for key, values in drawn.items()}


def test_how_often_and_how_strongly():
    drawn = draw(RandAugment(), 6000)
    assert all(values.shape == (6000, 2) for values in drawn.values())
    counts = np.bincount(drawn["operations"].ravel(), minlength=16) / 12000
    np.testing.assert_allclose(counts, [0.5 / 15] * 15 + [0.5], atol=0.02)
    assert counts[:15].min() > 0.025 and counts[:15].max() < 0.042
    both = np.mean((drawn["operations"] == NOTHING).all(axis=1))
    assert 0.23 < both < 0.27, "the two operations are drawn independently"
    magnitudes = drawn["magnitudes"]
    assert magnitudes.max() == 10.0 and abs(np.median(magnitudes) - 9.0) < 0.02
    assert 0.015 < np.mean(magnitudes == 10.0) < 0.032  # 2 standard deviations: 0.023
    assert abs(np.diff(np.quantile(magnitudes, [0.1587, 0.8413])).item() - 1.0) < 0.05
    assert abs(drawn["signs"].mean()) < 0.03 and set(np.abs(drawn["signs"]).ravel()) == {1.0}


def test_arguments_change_what_is_drawn():
    drawn = draw(RandAugment(3, magnitude=0.0, magnitude_std=2.0, probability=1.0), 500)
    assert drawn["operations"].shape == (500, 3) and drawn["operations"].max() == NOTHING - 1
    assert 0.45 < np.mean(drawn["magnitudes"] == 0.0) < 0.55
    assert set(draw(RandAugment(probability=0.0), 50)["operations"].ravel()) == {NOTHING}
    assert set(draw(RandAugment(magnitude=4.0, magnitude_std=0.0), 50)["magnitudes"].ravel()) == {4.0}


def test_only_what_was_drawn_is_run(monkeypatch):
    """Inside of tf.data, where the chosen operation is known only as it runs."""
    ran = []

    def spy(name, operation):
        def run(layer, images, strength, sign):
            def note(value):
                ran.append(name)
                return value

            return tf.ensure_shape(
                tf.numpy_function(note, [operation(layer, images, strength, sign)], "float32"), images.shape
            )

        return run

    spies = {name: spy(name, operation) for name, operation in OPERATIONS.items()}
    monkeypatch.setattr(rand_augment, "OPERATIONS", spies)
    layer = RandAugment()
    layer.backend.set_backend("tensorflow")
    image = seeded.photo(16, 16).astype("float32")

    @tf.autograph.experimental.do_not_convert
    def augment(index):
        drawn = layer.get_random_transformation(image, seed=StatelessSeeds(tf.stack([index, 0])))
        return drawn["operations"][0], layer.transform_single_image(image, drawn)

    names = [*OPERATIONS, None]
    expected, outputs = [], []
    for operations, output in tf.data.Dataset.range(40).map(augment).as_numpy_iterator():
        expected += [names[i] for i in operations if names[i]]
        outputs.append(output)
    assert ran == expected and len(set(ran)) > 8
    assert len({output.tobytes() for output in outputs}) > 20


def test_each_image_of_a_batch_has_its_own_operations():
    photos = np.stack([seeded.photo(20, 24)] * 3).astype("float32")
    layer = RandAugment()
    layer.backend.set_backend("tensorflow")
    drawn = chosen([["invert", "nothing"], ["nothing", "nothing"], ["translate_x", "brightness"]])
    output = layer.transform_images(photos, {key: tf.constant(values) for key, values in drawn.items()}).numpy()
    np.testing.assert_allclose(output[0], 255 - photos[0])
    np.testing.assert_allclose(output[1], photos[1])
    moved = run("translate_x", photos[2], 9.0, 1.0)
    np.testing.assert_allclose(output[2], run("brightness", moved, 9.0, 1.0), atol=1e-3)


def test_channels_first():
    photo = seeded.photo(20, 24)
    drawn = {key: tf.constant(values) for key, values in chosen([["rotate", "color"]]).items()}
    outputs = []
    for data_format, image in (("channels_last", photo), ("channels_first", photo.transpose(2, 0, 1))):
        layer = RandAugment(data_format=data_format)
        layer.backend.set_backend("tensorflow")
        outputs.append(layer.transform_single_image(image, drawn).numpy())
    np.testing.assert_allclose(outputs[1].transpose(1, 2, 0), outputs[0], atol=1e-4)
    assert np.abs(outputs[0] - photo).mean() > 10


def test_as_a_layer():
    """On the backend itself."""
    photo, label = seeded.photo(20, 24), np.eye(2, dtype="float32")
    batch = np.stack([photo, photo])
    layer = RandAugment(1, probability=1.0, seed=4)
    output = layer({"images": batch, "labels": label}, training=True)
    images = ops.convert_to_numpy(output["images"])
    assert images.shape == (2, 20, 24, 3) and np.abs(images - batch).mean() > 3
    np.testing.assert_array_equal(ops.convert_to_numpy(output["labels"]), label)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(photo, training=False)), photo)


def test_batches_in_tf_data():
    layer = RandAugment(probability=1.0, seed=4)
    photos = np.stack([seeded.photo(20, 24)] * 6)
    batches = tf.data.Dataset.from_tensor_slices(photos).batch(4).map(lambda images: layer(images, training=True))
    first, second = batches.as_numpy_iterator()
    assert first.shape == (4, 20, 24, 3) and second.shape == (2, 20, 24, 3) and first.dtype == "float32"
    assert len({image.tobytes() for image in (*first, *second)}) == 6


def test_configuration():
    layer = RandAugment(3, 5.0, 1.0, 0.7, (1, 2, 3), "nearest", seed=8, data_format="channels_first", name="augment")
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == "keras_mambaout>RandAugment"
    again = keras.saving.deserialize_keras_object(saved)
    assert again.get_config() == layer.get_config()
    expected = {"num_ops": 3, "magnitude": 5.0, "magnitude_std": 1.0, "probability": 0.7, "fill_color": (1, 2, 3)}
    expected |= {"interpolation": "nearest", "seed": 8, "data_format": "channels_first", "name": "augment"}
    assert expected.items() <= again.get_config().items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_ops": 0}, "`num_ops` must be an integer of 1 or more"),
        ({"magnitude": 11}, "`magnitude` must be a number from 0 to 10, got 11"),
        ({"magnitude_std": -1}, "`magnitude_std` must be a number of 0 or more, got -1"),
        ({"magnitude_std": float("inf")}, "`magnitude_std`"),
        ({"probability": 1.5}, "`probability` must be a number from 0 to 1, got 1.5"),
        ({"fill_color": (1, 2)}, "`fill_color` must be three numbers from 0 to 255"),
        ({"fill_color": (1, 2, 256)}, "`fill_color` must be a number from 0 to 255, got 256"),
        ({"interpolation": "bicubic"}, "`interpolation` must be one of 'bilinear', 'nearest'"),
        ({"data_format": "first"}, "`data_format` must be one of"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandAugment(**arguments)


def test_images_that_are_not_rgb():
    with pytest.raises(ValueError, match=r"RandAugment takes RGB images with three channels, got shape \(8, 8, 1\)"):
        RandAugment()(np.zeros((8, 8, 1), "float32"), training=True)
