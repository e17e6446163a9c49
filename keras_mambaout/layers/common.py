"""What the layers share: the norm, the dense layer and the initial values of the paper."""

import random

import keras
import numpy as np

from keras_mambaout.layers import kernels
from keras_mambaout.layers.composite import directly_called
from keras_mambaout.serialization import serializable

NORM_EPSILON = 1e-6  # Keras' own default is 1e-3, which the published weights were not trained with


@serializable
class TruncatedNormal(keras.initializers.Initializer):
    """Normal distribution with redrawn tails: `stddev * z` with `z ~ N(0, 1)` given `|z| <= 2`.

    Unlike Keras' initializer of this name, it draws with NumPy: one seed gives the same weights on
    every backend, and JAX does not compile a random number kernel for each shape, which took most of
    the time of building a model.

    Args:
        stddev: Standard deviation before truncation.
        seed: Integer seed; `None` draws one from Python's generator (`keras.utils.set_random_seed`).

    Example:
    ```python
    TruncatedNormal(seed=0)((7, 7, 48, 1))
    ```
    """

    def __init__(self, stddev: float = 0.02, seed: int | None = None):
        self.stddev = stddev
        self.seed = random.randint(1, 2**31 - 1) if seed is None else seed

    def __call__(self, shape, dtype=None):
        generator = np.random.default_rng(self.seed)
        values = generator.standard_normal(shape, dtype="float32")
        while (tails := np.abs(values) > 2.0).any():
            values[tails] = generator.standard_normal(np.count_nonzero(tails), dtype="float32")
        return keras.ops.convert_to_tensor(self.stddev * values, dtype or keras.config.floatx())

    def get_config(self):
        return {"stddev": self.stddev, "seed": self.seed}


def kernel_initializer() -> keras.initializers.Initializer:
    """The paper's: truncated normal with standard deviation 0.02. A new one for every kernel."""
    return TruncatedNormal(stddev=0.02)


@directly_called
@serializable
class LayerNorm(keras.layers.LayerNormalization):
    """Keras' LayerNormalization over the last axis, computed as the backend does it fastest.

    Statistics are float32 whatever the dtype policy; the output has the policy's compute dtype.
    """

    def call(self, inputs):
        gamma, beta = (kernels.tensor(variable, variable.dtype) for variable in (self.gamma, self.beta))
        return kernels.tensor(kernels.layer_norm(inputs, gamma, beta, self.epsilon), self.compute_dtype)


def layer_norm(name: str, dtype: keras.DTypePolicy | str | None = None) -> LayerNorm:
    """LayerNormalization over channels; its statistics are float32 under mixed precision too."""
    return LayerNorm(axis=-1, epsilon=NORM_EPSILON, dtype=dtype, name=name)


def dense(units: int, name: str, dtype: keras.DTypePolicy | str | None = None) -> keras.layers.Dense:
    """Dense layer over the last axis, initialised as the paper does."""
    return keras.layers.Dense(units, kernel_initializer=kernel_initializer(), dtype=dtype, name=name)
