"""Gives each pixel of a feature map averages over large parts of the image."""

from collections.abc import Sequence
from typing import Any

from keras_mambaout.layers.composite import CompositeLayer
from keras_mambaout.segmentation.uper.adaptive_pooling import adaptive_average_pool
from keras_mambaout.segmentation.uper.conv_norm_relu import ConvNormReLU
from keras_mambaout.serialization import serializable


@serializable
class PyramidPooling(CompositeLayer):
    """Pyramid pooling module: averages over parts of the feature map, concatenated with the feature map itself.

    `y = conv3x3(concat(x, up(conv1x1(pool_s(x))) for each scale s))`, where `pool_s` averages over `s` times `s`
    parts (`adaptive_average_pool`), `up` is bilinear, and each convolution is a `ConvNormReLU`.

    Args:
        channels: Channels of each convolution.
        scales: Number of parts of a side, one for each pooling.

    Shapes:
        `(B, H, W, C)` -> `(B, H, W, channels)`.

    Example:
    ```python
    PyramidPooling(512)(keras.ops.ones((1, 16, 16, 576))).shape  # (1, 16, 16, 512)
    ```

    Source: [Zhao et al., Pyramid scene parsing network](https://arxiv.org/abs/1612.01105)
    """

    recomputable = False

    def __init__(self, channels: int = 512, scales: Sequence[int] = (1, 2, 3, 6), **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.scales = channels, tuple(scales)

    def build(self, input_shape: Any) -> None:
        batch, *size, inputs = input_shape
        self.reductions = []
        for scale in self.scales:
            layer = ConvNormReLU(self.channels, 1, dtype=self.dtype_policy, name=f"reduction_{scale}")
            layer.build((batch, scale, scale, inputs))
            self.reductions.append(layer)
        self.bottleneck = ConvNormReLU(self.channels, 3, dtype=self.dtype_policy, name="bottleneck")
        self.bottleneck.build((batch, *size, inputs + len(self.scales) * self.channels))

    def call(self, inputs: Any, training: bool = False) -> Any:
        pooled = [
            reduction(adaptive_average_pool(inputs, scale), training=training)  # (B, scale, scale, channels)
            for scale, reduction in zip(self.scales, self.reductions, strict=True)
        ]
        return self.bottleneck([inputs, *pooled], training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "scales": self.scales}
