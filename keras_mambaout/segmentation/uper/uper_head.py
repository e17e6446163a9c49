"""The head of UperNet: turns the features of four stages into the class of each pixel."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mambaout.layers.composite import CompositeLayer
from keras_mambaout.segmentation.uper.conv_norm_relu import ConvNormReLU, channel_dropout, classifier
from keras_mambaout.segmentation.uper.pyramid_pooling import PyramidPooling
from keras_mambaout.segmentation.uper.resizing import resize_bilinear
from keras_mambaout.serialization import serializable


@serializable
class UPerHead(CompositeLayer):
    """Pyramid pooling on the coarsest feature, a feature pyramid over the finer ones, and a fusion of all.

    `L4 = pyramid_pooling(C4)`, `Ll = conv1x1(Cl) + up(Ll+1)`, `Pl = conv3x3(Ll)` but `P4 = L4`,
    `logits = classifier(dropout(conv3x3(concat(P1, up(P2), up(P3), up(P4)))))`, where `up` resizes to the size of
    the other operand by bilinear interpolation, and each convolution is a `ConvNormReLU`, except the classifier,
    which is a plain 1x1 convolution.

    Args:
        num_classes: Number of classes.
        channels: Channels of every level.
        pool_scales: `scales` of its `PyramidPooling`.
        dropout_rate: Fraction of channels that are set to 0 before the classifier in training.

    Shapes:
        List of `(B, H_l, W_l, C_l)`, the finest first -> logits `(B, H_1, W_1, num_classes)`.

    Example:
    ```python
    logits = UPerHead(num_classes=150)([c1, c2, c3, c4])
    ```

    Source: [Xiao et al., Unified perceptual parsing for scene understanding](https://arxiv.org/abs/1807.10221), as
    [mmsegmentation](https://github.com/open-mmlab/mmsegmentation) has it
    """

    recomputable = False

    def __init__(
        self,
        num_classes: int,
        channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout_rate: float = 0.1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.channels = num_classes, channels
        self.pool_scales, self.dropout_rate = tuple(pool_scales), dropout_rate

    def build(self, input_shape: Any) -> None:
        dtype, channels = self.dtype_policy, self.channels
        *finer, coarsest = input_shape
        self.pooling = PyramidPooling(channels, self.pool_scales, dtype=dtype, name="pyramid_pooling")
        self.pooling.build(coarsest)
        self.laterals, self.outputs = [], []
        for level, shape in enumerate(finer, start=1):
            lateral = ConvNormReLU(channels, 1, dtype=dtype, name=f"lateral_{level}")
            output = ConvNormReLU(channels, 3, dtype=dtype, name=f"output_{level}")
            lateral.build(shape)
            output.build((*shape[:-1], channels))
            self.laterals.append(lateral)
            self.outputs.append(output)
        size = input_shape[0][:-1]
        self.fusion = ConvNormReLU(channels, 3, dtype=dtype, name="fusion")
        self.dropout = channel_dropout(self.dropout_rate, dtype)
        self.classifier = classifier(self.num_classes, dtype)
        self.fusion.build((*size, len(input_shape) * channels))
        self.dropout.build((*size, channels))
        self.classifier.build((*size, channels))

    def call(self, inputs: Any, training: bool = False) -> Any:
        *finer, coarsest = inputs
        levels = [lateral(feature, training=training) for lateral, feature in zip(self.laterals, finer, strict=True)]
        levels.append(self.pooling(coarsest, training=training))
        for level in reversed(range(len(finer))):
            levels[level] = levels[level] + resize_bilinear(levels[level + 1], ops.shape(levels[level])[1:3])
        for level, output in enumerate(self.outputs):
            levels[level] = output(levels[level], training=training)
        x = self.fusion(levels, training=training)  # (B, H_1, W_1, channels)
        return self.classifier(self.dropout(x, training=training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "channels": self.channels,
            "pool_scales": self.pool_scales,
            "dropout_rate": self.dropout_rate,
        }
