"""The third head: which pixels of a box belong to the object."""

from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import VarianceScaling, convolution, normal
from keras_mambaout.serialization import serializable

CONVOLUTIONS = 4
DEVIATION = 0.001  # of the initial values of the last kernel: masks begin at one half


@serializable
class MaskHead(CompositeLayer):
    """Four `conv3x3, ReLU`, a transposed convolution that doubles the size, ReLU, and a mask for each class.

    The transposed convolution, 2 x 2 with stride 2, is the product of each pixel with four matrices, and it is
    written that way: as a convolution, its gradient took 2.1 s of a step on JAX with a CPU, 10 times all the rest.

    Args:
        num_classes: Number of classes `C`.
        channels: Channels of the convolutions.

    Shapes:
        `(B, R, S, S, channels)` -> logits `(B, R, 2S, 2S, C)`.

    Example:
    ```python
    logits = MaskHead(num_classes=80)(features)  # (B, 100, 14, 14, 256) -> (B, 100, 28, 28, 80)
    ```

    Source: [He et al., Mask R-CNN](https://arxiv.org/abs/1703.06870), figure 4
    """

    def __init__(self, num_classes: int, channels: int = 256, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes, self.channels = num_classes, channels

    @not_rematerialized
    def build(self, input_shape: Any) -> None:
        size, dtype = input_shape[2:4], self.dtype_policy
        self.convolutions, inputs = [], input_shape[-1]
        for number in range(1, CONVOLUTIONS + 1):
            layer = convolution(self.channels, 3, f"conv_{number}", dtype, VarianceScaling(2.0, "fan_out"), "relu")
            layer.build((None, *size, inputs))
            self.convolutions.append(layer)
            inputs = self.channels
        height, width = size
        self.upsampling = keras.layers.EinsumDense(
            "bhwc,cijd->bhiwjd",
            (height, 2, width, 2, self.channels),
            activation="relu",
            bias_axes="d",
            kernel_initializer=VarianceScaling(2.0, "fan_out", in_axis=0),
            dtype=self.dtype_of("upsampling"),
            name="upsampling",
        )
        self.upsampling.build((None, height, width, inputs))
        self.masks = convolution(self.num_classes, 1, "masks", dtype, normal(DEVIATION))
        self.masks.build((None, 2 * height, 2 * width, inputs))

    def call(self, inputs: Any) -> Any:
        batch, rows, height, width = ops.shape(inputs)[:4]
        x = ops.reshape(inputs, (-1, height, width, inputs.shape[-1]))
        for layer in self.convolutions:
            x = layer(x)
        x = ops.reshape(self.upsampling(x), (-1, 2 * height, 2 * width, self.channels))
        masks = self.masks(x)
        return ops.reshape(masks, (batch, rows, 2 * height, 2 * width, self.num_classes))

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, rows, height, width, _ = input_shape
        return (batch, rows, 2 * height, 2 * width, self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "channels": self.channels}
