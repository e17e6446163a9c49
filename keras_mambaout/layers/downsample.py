"""Downsampling between stages: half the size, the next stage's channels."""

import keras

from keras_mambaout.layers.common import layer_norm
from keras_mambaout.layers.composite import CompositeLayer
from keras_mambaout.layers.strided_conv import StridedConv2D
from keras_mambaout.serialization import serializable


@serializable
class Downsample(CompositeLayer):
    """Strided convolution with a LayerNorm after it (the paper) or before it (the `rw` models).

    `y = LN(conv(x))`, or `y = conv(LN(x))` with `norm_first`.

    Args:
        dim: Channels of the output.
        norm_first: Whether the LayerNorm comes before the convolution.

    Shapes:
        `(B, H, W, C)` -> `(B, ceil(H / 2), ceil(W / 2), dim)`.

    Example:
    ```python
    Downsample(96)(keras.ops.ones((1, 56, 56, 48))).shape  # (1, 28, 28, 96)
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992); norm first: timm.
    """

    def __init__(self, dim: int, norm_first: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.norm_first = norm_first
        with keras.RematScope(mode=None):
            self.norm = layer_norm("norm", self.dtype_policy)
            self.conv = StridedConv2D(dim, dtype=self.dtype_policy, name="conv")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build(input_shape if self.norm_first else self.compute_output_shape(input_shape))

    def call(self, inputs):
        if self.norm_first:
            return self.inner(self.conv, self.inner(self.norm, inputs))
        return self.inner(self.norm, self.inner(self.conv, inputs))

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(input_shape)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "norm_first": self.norm_first}
