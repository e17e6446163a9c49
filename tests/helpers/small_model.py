"""The smallest variant, and helpers for many tests."""

import numpy as np
from keras import ops

import keras_mambaout


def create(weights=None, **kwargs):
    return keras_mambaout.create_model("mambaout_test", weights=weights, **kwargs)


def predict(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def values(model):
    return [variable.numpy() for variable in model.weights]


def assert_same(model, expected):
    """Asserts that all weights have exactly the expected values."""
    for variable, value in zip(model.weights, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def tiny(classes):
    """A classifier of four blocks, which is compiled in half the time."""
    config = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    backbone = keras_mambaout.MambaOutBackbone(config, input_shape=(32, 32, 3))
    return keras_mambaout.MambaOutClassifier(backbone, classes=classes)
