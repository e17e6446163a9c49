"""Mixup and CutMix: labels against the pixels that are really mixed, and how often each is drawn.

Image i of the batches here is 1 in channel i and 0 elsewhere, so that the mean of a mixed image over its
pixels says from which images it comes, and how much: the label it must have.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mambaout.classification.augmentation import StatelessSeeds
from keras_mambaout.preprocessing.mix import CUTMIX, MIXUP, NOTHING, MixUpOrCutMix

BATCH = 16


def one_hot_batch(size=(13, 17)):
    labels = np.eye(BATCH, dtype="float32")
    return {"images": np.broadcast_to(labels[:, None, None], (BATCH, *size, BATCH)).copy(), "labels": labels}


def mix_in_tf_data(layer, batches, size=(13, 17)):
    """Returns the mixed images, labels and methods of so many batches, drawn by other seeds."""
    batch = one_hot_batch(size)
    layer.backend.set_backend("tensorflow")

    @tf.autograph.experimental.do_not_convert
    def mix(index):
        drawn = layer.get_random_transformation(batch, seed=StatelessSeeds(tf.stack([index, 3])))
        images = layer.transform_images(batch["images"], drawn)
        return images, layer.transform_labels(batch["labels"], drawn), drawn["method"]

    mixed = list(tf.data.Dataset.range(batches).map(mix).as_numpy_iterator())
    layer.backend.reset()
    return [np.stack(values) for values in zip(*mixed, strict=True)]


def check_labels(images, labels):
    np.testing.assert_allclose(labels, images.mean(axis=(-3, -2), dtype="float64"), atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=-1), 1.0, atol=2e-6)
    assert labels.min() >= 0


def test_labels_are_shares_of_the_pixels():
    images, labels, methods = mix_in_tf_data(MixUpOrCutMix(), 60)
    check_labels(images, labels)
    assert set(methods) == {MIXUP, CUTMIX}
    own = np.diagonal(labels, axis1=1, axis2=2)
    assert np.mean(own < 0.999) > 0.7, "images are mixed with others"
    assert ((labels > 0).sum(axis=-1) <= 2).all()
    mixup, cutmix = images[methods == MIXUP], images[methods == CUTMIX]
    assert np.ptp(mixup, axis=(2, 3)).max() < 1e-6, "Mixup mixes all pixels alike"
    assert set(np.unique(cutmix)) == {0.0, 1.0}, "CutMix takes whole pixels"


def test_cutmix_pastes_one_box():
    images, labels, _ = mix_in_tf_data(MixUpOrCutMix(mixup_alpha=0), 4)
    pasted = 1 - images[:, np.arange(BATCH), :, :, np.arange(BATCH)].reshape(-1, 13, 17)
    boxes = 0
    for mask in pasted[pasted.any(axis=(1, 2))]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert mask.sum() == len(rows) * len(columns) and abs(len(rows) / 13 - len(columns) / 17) < 0.15
        boxes += 1
    assert boxes > 40
    check_labels(images, labels)


def test_weights_are_those_of_the_beta_distribution():
    """`Beta(a, a)` has mean 1/2 and variance `1 / (4 (2 a + 1))`."""
    for alpha in (0.2, 0.8):
        data = {"images": np.zeros((3000, 1, 1, 1), "float32"), "labels": np.zeros((3000, 2), "float32")}
        layer = MixUpOrCutMix(mixup_alpha=alpha)
        layer.backend.set_backend("tensorflow")
        drawn = layer.get_random_transformation(data, seed=StatelessSeeds(tf.constant([1, 2])))["mixup"]
        weights, partners = drawn["mix_weight"].numpy(), drawn["permutation_order"].numpy()
        assert abs(weights.mean() - 0.5) < 0.03
        assert abs(weights.var() * 4 * (2 * alpha + 1) - 1) < 0.06
        assert sorted(partners) == list(range(3000)) and np.mean(partners == np.arange(3000)) < 0.01
    _, labels, _ = mix_in_tf_data(MixUpOrCutMix(mixup_alpha=0), 100, size=(32, 32))
    own = np.diagonal(labels, axis1=1, axis2=2)
    own = own[own < 1]  # those that got a box of another image
    np.testing.assert_allclose(np.quantile(own, [0.1, 0.3, 0.5, 0.7, 0.9]), [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.06)


@pytest.mark.parametrize(
    ("arguments", "shares"),
    [
        ({}, (0, 0.5, 0.5)),
        ({"switch_probability": 0.2}, (0, 0.8, 0.2)),
        ({"mix_probability": 0.4}, (0.6, 0.2, 0.2)),
        ({"mix_probability": 0.0}, (1, 0, 0)),
        ({"cutmix_alpha": 0.0, "switch_probability": 0.9}, (0, 1, 0)),
        ({"mixup_alpha": 0.0, "switch_probability": 0.1}, (0, 0, 1)),
    ],
)
def test_one_method_is_drawn_for_each_batch(arguments, shares):
    images, labels, methods = mix_in_tf_data(MixUpOrCutMix(**arguments), 400, size=(2, 2))
    counted = np.bincount(methods, minlength=3) / 400
    assert (np.abs(counted - shares) < 0.07).all() and (counted[np.equal(shares, 0)] == 0).all()
    check_labels(images, labels)
    unmixed = methods == NOTHING
    np.testing.assert_array_equal(labels[unmixed], np.broadcast_to(np.eye(BATCH), (unmixed.sum(), BATCH, BATCH)))


def test_as_a_layer():
    """On the backend itself and in tf.data, where the last batch may be smaller."""
    layer, batch = MixUpOrCutMix(seed=1), one_hot_batch()
    output = layer(one_hot_batch(), training=True)
    check_labels(*(ops.convert_to_numpy(output[key]) for key in ("images", "labels")))
    still = layer(one_hot_batch(), training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(still["images"]), batch["images"])
    np.testing.assert_array_equal(ops.convert_to_numpy(still["labels"]), batch["labels"])

    batches = tf.data.Dataset.from_tensor_slices(batch).batch(10).map(lambda data: layer(data, training=True))
    sizes = []
    for data in batches.repeat(4).as_numpy_iterator():
        check_labels(data["images"], data["labels"])
        sizes.append(len(data["labels"]))
    assert sizes == [10, 6] * 4


def test_channels_first():
    batch = one_hot_batch()
    layer = MixUpOrCutMix(mixup_alpha=0, data_format="channels_first")
    layer.backend.set_backend("tensorflow")
    data = {"images": batch["images"].transpose(0, 3, 1, 2), "labels": batch["labels"]}
    drawn = layer.get_random_transformation(data, seed=StatelessSeeds(tf.constant([1, 2])))
    images = layer.transform_images(data["images"], drawn).numpy()
    labels = layer.transform_labels(data["labels"], drawn).numpy()
    check_labels(images.transpose(0, 2, 3, 1), labels)
    assert set(np.unique(images)) == {0.0, 1.0} and (np.diagonal(labels) < 1).any()


def test_configuration():
    layer = MixUpOrCutMix(0.3, 0.7, 0.9, 0.4, seed=3, data_format="channels_first", name="mix")
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == "keras_mambaout>MixUpOrCutMix"
    again = keras.saving.deserialize_keras_object(saved)
    assert again.get_config() == layer.get_config()
    assert again.cutmix_alpha == 0.7 and again.alpha == 0.3
    assert (again.mix_probability, again.switch_probability, again.data_format) == (0.9, 0.4, "channels_first")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup_alpha": 0.01}, "`mixup_alpha` must be a number 0.1 or more, or 0 to leave it out, got 0.01"),
        ({"mixup_alpha": -1}, "`mixup_alpha`"),
        ({"cutmix_alpha": 2.0}, "`cutmix_alpha` must be a number from 0.1 to 1, or 0 to leave it out, got 2.0"),
        ({"cutmix_alpha": "1"}, "`cutmix_alpha`"),
        ({"mixup_alpha": 0, "cutmix_alpha": 0}, "are both 0, which mixes nothing"),
        ({"mix_probability": 1.01}, "`mix_probability` must be a number from 0 to 1"),
        ({"switch_probability": None}, "`switch_probability` must be a number from 0 to 1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixUpOrCutMix(**arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 8, 8, 3), "float32"), "Mixing needs a dict with 'images'"),
        ({"images": np.zeros((4, 8, 8, 3), "float32")}, r"got a dict with \['images'\]"),
        (
            {"images": np.zeros((4, 8, 8, 3)), "labels": np.zeros(4)},
            r"one-hot 'labels' \(B, K\), got shapes .* and \(4,\)",
        ),
        ({"images": np.zeros((8, 8, 3)), "labels": np.zeros(2)}, "Mixing needs 'images'"),
    ],
)
def test_data_that_cannot_be_mixed(data, message):
    with pytest.raises(ValueError, match=message):
        MixUpOrCutMix()(data, training=True)
