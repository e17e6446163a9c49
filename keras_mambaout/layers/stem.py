"""The stem: from pixels to features of stride 4."""

from collections.abc import Callable

import keras

from keras_mambaout.layers.common import layer_norm
from keras_mambaout.layers.composite import CompositeLayer
from keras_mambaout.layers.strided_conv import StridedConv2D
from keras_mambaout.serialization import serializable


@serializable
class Stem(CompositeLayer):
    """Two strided convolutions that take the image to a quarter of its size.

    `y = LN(conv2(act(LN(conv1(x)))))`, the inner LayerNorm only with `mid_norm`.

    Args:
        dim: Channels of the output, even; the first convolution has half of them.
        mid_norm: Whether a LayerNorm follows the first convolution.
        activation: Name of the activation between the convolutions.

    Shapes:
        `(B, H, W, C)` -> `(B, ceil(H / 4), ceil(W / 4), dim)`.

    Example:
    ```python
    Stem(48)(keras.ops.ones((1, 224, 224, 3))).shape  # (1, 56, 56, 48)
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), after InternImage's stem.
    """

    def __init__(self, dim: int, mid_norm: bool = True, activation: str | Callable = "gelu", **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.mid_norm = mid_norm
        self.activation = keras.activations.get(activation)
        dtype = self.dtype_policy
        with keras.RematScope(mode=None):
            self.conv1 = StridedConv2D(dim // 2, dtype=dtype, name="conv1")
            self.norm1 = layer_norm("norm1", dtype) if mid_norm else None
            self.conv2 = StridedConv2D(dim, dtype=dtype, name="conv2")
            self.norm2 = layer_norm("norm2", dtype)

    def build(self, input_shape):
        self.conv1.build(input_shape)
        half_shape = self.conv1.compute_output_shape(input_shape)
        if self.norm1 is not None:
            self.norm1.build(half_shape)
        self.conv2.build(half_shape)
        self.norm2.build(self.conv2.compute_output_shape(half_shape))

    def call(self, inputs):
        x = self.inner(self.conv1, inputs)  # (B, H/2, W/2, dim/2)
        if self.norm1 is not None:
            x = self.inner(self.norm1, x)
        x = self.activation(x)
        x = self.inner(self.conv2, x)  # (B, H/4, W/4, dim)
        return self.inner(self.norm2, x)

    def compute_output_shape(self, input_shape):
        return self.conv2.compute_output_shape(self.conv1.compute_output_shape(input_shape))

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "mid_norm": self.mid_norm,
            "activation": keras.activations.serialize(self.activation),
        }
