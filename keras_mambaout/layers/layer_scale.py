"""LayerScale: a learned factor for each channel of a residual branch."""

import keras

from keras_mambaout.layers import kernels
from keras_mambaout.layers.composite import directly_called
from keras_mambaout.serialization import serializable


@directly_called
@serializable
class LayerScale(keras.layers.Layer):
    """Multiplies every channel by its own learned factor.

    `y[..., c] = gamma[c] * x[..., c]`

    Args:
        init_value: What every `gamma` starts with; small values let deep networks start near the
            identity.

    Shapes:
        Any shape with channels last, kept as it is. A mask passes on.

    Example:
    ```python
    LayerScale(1e-5)(keras.ops.ones((1, 7, 7, 64)))  # 1e-5 everywhere
    ```

    Source: [Touvron et al., Going deeper with image transformers](https://arxiv.org/abs/2103.17239).
    """

    def __init__(self, init_value: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.init_value = init_value
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init_value),
        )

    def call(self, inputs):
        return inputs * kernels.tensor(self.gamma, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "init_value": self.init_value}
