"""A second, shallow head, which helps the backbone to learn and is only used in training."""

from typing import Any

from keras_mambaout.layers.composite import CompositeLayer
from keras_mambaout.segmentation.uper.conv_norm_relu import ConvNormReLU, channel_dropout, classifier
from keras_mambaout.serialization import serializable


@serializable
class AuxiliaryHead(CompositeLayer):
    """Fully convolutional head on one feature: `classifier(dropout(ConvNormReLU(x)))`, 3x3 and then 1x1.

    Args:
        num_classes: Number of classes.
        channels: Channels between the convolutions.
        dropout_rate: Fraction of channels that are set to 0 before the classifier in training.

    Shapes:
        `(B, H, W, C)` -> logits `(B, H, W, num_classes)`.

    Example:
    ```python
    logits = AuxiliaryHead(num_classes=150)(c3)
    ```

    Source: [Zhao et al., Pyramid scene parsing network](https://arxiv.org/abs/1612.01105), figure 4; `FCNHead` of
    [mmsegmentation](https://github.com/open-mmlab/mmsegmentation)
    """

    recomputable = False

    def __init__(self, num_classes: int, channels: int = 256, dropout_rate: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes, self.channels, self.dropout_rate = num_classes, channels, dropout_rate

    def build(self, input_shape: Any) -> None:
        shape = (*input_shape[:-1], self.channels)
        self.conv = ConvNormReLU(self.channels, 3, dtype=self.dtype_policy, name="conv")
        self.dropout = channel_dropout(self.dropout_rate, self.dtype_policy)
        self.classifier = classifier(self.num_classes, self.dtype_policy)
        self.conv.build(input_shape)
        self.dropout.build(shape)
        self.classifier.build(shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.conv(inputs, training=training)
        return self.classifier(self.dropout(x, training=training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        config = {"num_classes": self.num_classes, "channels": self.channels, "dropout_rate": self.dropout_rate}
        return {**super().get_config(), **config}
