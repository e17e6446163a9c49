"""Stochastic depth (drop path): residual branches dropped at random while training."""

import keras
from keras import ops

from keras_mambaout.layers.composite import directly_called
from keras_mambaout.serialization import serializable


@directly_called
@serializable
class StochasticDepth(keras.layers.Layer):
    """Drops the whole input of a sample with probability `rate`, for each sample of the batch.

    Training: `y[b] = x[b] * keep[b] / (1 - rate)` with `keep[b] ~ Bernoulli(1 - rate)`, so that the
    expected value is `x`. Inference: `y = x`.

    Args:
        rate: Probability of dropping a sample's branch, at least 0 and below 1.
        seed: Seed of the random numbers; `None` draws one from Keras' global generator
            (`keras.utils.set_random_seed`).

    Shapes:
        Any shape with the batch first, kept as it is. A mask passes on.

    Raises:
        ValueError: If `rate` is not in `[0, 1)`.

    Example:
    ```python
    branch = StochasticDepth(0.1, seed=0)(branch, training=True)
    x = x + branch
    ```

    Source: [Huang et al., Deep networks with stochastic depth](https://arxiv.org/abs/1603.09382).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`rate` must be at least 0 and below 1, got {rate}.")
        self.rate = rate
        self.seed = seed
        self.supports_masking = True
        # Made for rate 0 too: weights files then hold the same entries whatever the rate.
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or self.rate == 0.0:
            return inputs
        keep_rate = 1.0 - self.rate
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)  # (B, 1, 1, 1)
        draw = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        keep = ops.cast(ops.less(draw, keep_rate), inputs.dtype)
        return ops.multiply(inputs, keep / keep_rate)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
