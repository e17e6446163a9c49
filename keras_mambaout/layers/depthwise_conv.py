"""The depthwise convolution, the only operation of a block that mixes pixels."""

import keras
import numpy as np
from keras import ops

from keras_mambaout.layers import kernels
from keras_mambaout.layers.common import kernel_initializer
from keras_mambaout.layers.composite import directly_called
from keras_mambaout.serialization import serializable


@directly_called
@serializable
class DepthwiseConv2D(keras.layers.Layer):
    """Depthwise `k x k` convolution with stride 1 and zero padding to the same size, channels last.

    `y[b, i, j, c] = bias[c] + sum_{u, v} kernel[u, v, c, 0] * x[b, i + u - k//2, j + v - k//2, c]`

    Args:
        kernel_size: Side of the kernel `k`, odd.
        causal: Whether a pixel sees only itself and those before it, row by row: the sum then leaves out the rest of
            the kernel, whose values mean nothing.

    Shapes:
        `(B, H, W, C)` -> `(B, H, W, C)`. The kernel is `(k, k, C, 1)`, that of
        `keras.layers.DepthwiseConv2D`, and the bias `(C,)`.

    How it is computed depends on the backend and the device: see `keras_mambaout.layers.kernels.set_depthwise_conv`.

    Raises:
        ValueError: If `kernel_size` is even: such a kernel has no centre.

    Example:
    ```python
    DepthwiseConv2D(7)(keras.ops.ones((1, 14, 14, 48))).shape  # (1, 14, 14, 48)
    ```

    Source: `nn.Conv2d(groups=channels, padding=kernel_size // 2)` of the
    [authors' code](https://github.com/yuweihao/MambaOut).
    """

    def __init__(self, kernel_size: int = 7, causal: bool = False, **kwargs):
        super().__init__(**kwargs)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be an odd positive integer, got {kernel_size}.")
        self.kernel_size, self.causal = kernel_size, causal

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, channels, 1),
            initializer=kernel_initializer(),
        )
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")

    def call(self, inputs):
        kernel, bias = (kernels.tensor(weight, self.compute_dtype) for weight in (self.kernel, self.bias))
        if self.causal:
            kernel = kernel * ops.convert_to_tensor(_is_before(self.kernel_size), kernel.dtype)
        return kernels.depthwise_conv(inputs, kernel, bias)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "causal": self.causal}


def _is_before(side):
    """Returns 1 for the taps `(k, k, 1, 1)` that stand at the centre of a kernel or before it, row by row; else 0."""
    return (np.arange(side**2) <= side**2 // 2).astype("float32").reshape(side, side, 1, 1)
