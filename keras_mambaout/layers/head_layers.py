"""Layers of the heads, with initial values that are the same on every backend."""

import math

import keras

from keras_mambaout.layers.common import TruncatedNormal

TRUNCATED_DEVIATION = 0.8796  # of the normal distribution without its tails beyond 2


def convolution(filters, size, inputs, name, dtype=None, deviation=None, activation=None, use_bias=True):
    """Returns a convolution that keeps height and width.

    Args:
        filters: Channels out.
        size: Side of the kernel.
        inputs: Channels in.
        name: Name of the layer.
        dtype: Dtype policy.
        deviation: Standard deviation of the initial kernel; `None` is Glorot's.
        activation: As Keras has it.
        use_bias: As Keras has it.
    """
    return keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        data_format="channels_last",
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=normal(deviation or glorot(inputs * size**2, filters * size**2)),
        dtype=dtype,
        name=name,
    )


def dense(units, inputs, name, dtype=None, deviation=None, activation=None):
    """Returns a dense layer; arguments as those of `convolution`."""
    initializer = normal(deviation or glorot(inputs, units))
    return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer, dtype=dtype, name=name)


def normal(deviation):
    """Normal distribution without tails, of this standard deviation."""
    return TruncatedNormal(deviation / TRUNCATED_DEVIATION)


def glorot(inputs, outputs):
    """Glorot's standard deviation, `sqrt(2 / (fan in + fan out))`."""
    return math.sqrt(2 / (inputs + outputs))


def he(outputs):
    """He's standard deviation for ReLU, which keeps the size of gradients: `sqrt(2 / fan out)`."""
    return math.sqrt(2 / outputs)
