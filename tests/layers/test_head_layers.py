"""Initial values of the heads: their deviations by the formulas, and the same numbers on every backend."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.layers.head_layers import VarianceScaling, convolution, dense, normal

KERAS = {  # the first values of `keras.initializers.HeNormal(seed=0)((3, 2))`
    "tensorflow": [-1.5752411, -0.4468292],
    "jax": [1.3514677, 1.5916845],
    "torch": [-1.0450405, 0.7878000],
}


def deviation(initializer, shape):
    return np.std(ops.convert_to_numpy(initializer(shape)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, math.sqrt(2 / (9 * 32 + 9 * 64))),
        ({"scale": 2.0, "mode": "fan_in"}, math.sqrt(2 / (9 * 32))),
        ({"scale": 2.0, "mode": "fan_out"}, math.sqrt(2 / (9 * 64))),
    ],
)
def test_deviations(arguments, expected):
    assert deviation(VarianceScaling(seed=1, **arguments), (3, 3, 32, 64)) == pytest.approx(expected, rel=0.02)


def test_defaults_of_layers_are_glorots():
    keras.utils.set_random_seed(0)
    conv, plain = convolution(64, 3, "conv"), dense(300, "dense")
    conv.build((None, 8, 8, 32))
    plain.build((None, 200))
    assert np.std(conv.kernel.numpy()) == pytest.approx(math.sqrt(2 / (9 * 32 + 9 * 64)), rel=0.02)
    assert np.std(plain.kernel.numpy()) == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert deviation(normal(0.01), (100, 100)) == pytest.approx(0.01, rel=0.02)


def test_one_seed_gives_the_same_values_on_every_backend_unlike_in_keras():
    ours = ops.convert_to_numpy(VarianceScaling(2.0, "fan_in", seed=0)((3, 2)))
    np.testing.assert_allclose(ours[0], [1.0374427, -1.2876111], rtol=1e-6)
    theirs = ops.convert_to_numpy(keras.initializers.HeNormal(seed=0)((3, 2)))
    np.testing.assert_allclose(theirs[0], KERAS[keras.backend.backend()], rtol=1e-4)


def test_axes_of_an_einsum_dense_unlike_in_keras():
    """The kernel (C, 2, 2, D) of a transposed convolution: Keras takes its first axis for a side of the kernel."""
    shape, expected = (64, 2, 2, 48), math.sqrt(2 / (4 * 48))
    assert deviation(VarianceScaling(2.0, "fan_out", in_axis=0, seed=1), shape) == pytest.approx(expected, rel=0.02)
    theirs = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal", seed=1)
    assert deviation(theirs, shape) < 0.3 * expected


def test_config_and_bad_mode():
    initializer = VarianceScaling(2.0, "fan_out", in_axis=0, seed=3)
    twin = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(*(ops.convert_to_numpy(one((4, 2, 2, 3))) for one in (initializer, twin)))
    with pytest.raises(ValueError, match="one of 'fan_in', 'fan_out', 'fan_avg', got 'fan'"):
        VarianceScaling(mode="fan")
