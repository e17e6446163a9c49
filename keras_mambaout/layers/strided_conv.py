"""The 3x3 stride-2 convolution of stem and downsampling, padded as PyTorch pads it."""

import keras

from keras_mambaout.layers import kernels
from keras_mambaout.layers.common import kernel_initializer
from keras_mambaout.layers.composite import directly_called
from keras_mambaout.serialization import serializable


@directly_called
@serializable
class StridedConv2D(keras.layers.Layer):
    """Convolution 3x3 with stride 2 and one row or column of zeros on each of the four sides.

    `y[b, i, j, f] = bias[f] + sum_{u, v, c} kernel[u, v, c, f] * x[b, 2i + u - 1, 2j + v - 1, c]`

    `padding="same"` is not this: for even sizes TensorFlow and JAX then pad (0, 1), which shifts
    the grid by one pixel from where the published weights expect it.

    Args:
        filters: Channels of the output.

    Shapes:
        `(B, H, W, C)` -> `(B, ceil(H / 2), ceil(W / 2), filters)`, whatever the image data format.

    Example:
    ```python
    StridedConv2D(8)(keras.ops.ones((1, 5, 6, 3))).shape  # (1, 3, 3, 8)
    ```

    Source: `nn.Conv2d(kernel_size=3, stride=2, padding=1)` of the
    [authors' code](https://github.com/yuweihao/MambaOut).
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, 3, input_shape[-1], self.filters),
            initializer=kernel_initializer(),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs):
        kernel, bias = (kernels.tensor(weight, self.compute_dtype) for weight in (self.kernel, self.bias))
        return kernels.strided_conv(inputs, kernel, bias)  # (B, ceil(H / 2), ceil(W / 2), filters)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, _halved(height), _halved(width), self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _halved(size):
    return None if size is None else (size + 1) // 2
