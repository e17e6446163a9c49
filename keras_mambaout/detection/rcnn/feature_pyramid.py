"""The neck of Mask R-CNN, which passes what coarse levels have seen to the finer ones."""

from typing import Any

from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import convolution
from keras_mambaout.serialization import serializable


@serializable
class FeaturePyramid(CompositeLayer):
    """Feature pyramid network with one more, coarser level.

    `M5 = conv1x1(C5)`, `Ml = conv1x1(Cl) + upsample(Ml+1)`, `Pl = conv3x3(Ml)`, and `P6` is every second row
    and column of `P5`. Upsampling repeats pixels.

    Args:
        channels: Channels of every level.

    Shapes:
        List of `(B, H_l, W_l, C_l)`, each with half the height and width of the one before -> list of
        `(B, H_l, W_l, channels)` with one level more.

    Example:
    ```python
    levels = FeaturePyramid(256)([c2, c3, c4, c5])  # P2, P3, P4, P5, P6
    ```

    Source: [Lin et al., Feature pyramid networks for object detection](https://arxiv.org/abs/1612.03144)
    """

    def __init__(self, channels: int = 256, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels

    @not_rematerialized
    def build(self, input_shape: Any) -> None:
        self.laterals, self.outputs = [], []
        for level, shape in enumerate(input_shape, start=2):
            lateral = convolution(self.channels, 1, f"lateral_{level}", self.dtype_policy)
            output = convolution(self.channels, 3, f"output_{level}", self.dtype_policy)
            lateral.build(shape)
            output.build((*shape[:-1], self.channels))
            self.laterals.append(lateral)
            self.outputs.append(output)

    def call(self, inputs: Any) -> Any:
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, inputs, strict=True)]
        for level in reversed(range(len(levels) - 1)):
            coarser = ops.repeat(ops.repeat(levels[level + 1], 2, axis=1), 2, axis=2)
            levels[level] = levels[level] + coarser
        levels = [output(level) for output, level in zip(self.outputs, levels, strict=True)]
        return [*levels, levels[-1][:, ::2, ::2]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = [(*shape[:-1], self.channels) for shape in input_shape]
        batch, height, width, channels = shapes[-1]
        return [*shapes, (batch, *(side and -(-side // 2) for side in (height, width)), channels)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}
