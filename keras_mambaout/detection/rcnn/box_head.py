"""The second stage: what is in a proposal, and exactly where."""

import math
from typing import Any

from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import dense, normal
from keras_mambaout.serialization import serializable

CLASS_DEVIATION, DELTA_DEVIATION = 0.01, 0.001  # of the initial kernels


@serializable
class BoxHead(CompositeLayer):
    """Two hidden dense layers with ReLU, then classes and a box for each class.

    Args:
        num_classes: Number of classes `C`, without background.
        units: Units of the hidden layers.

    Shapes:
        `(B, R, S, S, channels)` -> logits `(B, R, C + 1)`, the last of which is background, and deltas
        `(B, R, C, 4)`.

    Example:
    ```python
    logits, deltas = BoxHead(num_classes=80)(features)  # (B, 1000, 7, 7, 256)
    ```

    Source: [Lin et al., Feature pyramid networks](https://arxiv.org/abs/1612.03144), section 4.2
    """

    def __init__(self, num_classes: int, units: int = 1024, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes, self.units = num_classes, units

    @not_rematerialized
    def build(self, input_shape: Any) -> None:
        _, _, height, width, channels = input_shape
        inputs, units, dtype_of = height * width * channels, self.units, self.dtype_of
        self.hidden_1 = dense(units, "hidden_1", dtype_of("hidden_1"), activation="relu")
        self.hidden_2 = dense(units, "hidden_2", dtype_of("hidden_2"), activation="relu")
        self.logits = dense(self.num_classes + 1, "logits", dtype_of("logits"), normal(CLASS_DEVIATION))
        self.deltas = dense(4 * self.num_classes, "deltas", dtype_of("deltas"), normal(DELTA_DEVIATION))
        self.hidden_1.build((None, None, inputs))
        for layer in (self.hidden_2, self.logits, self.deltas):
            layer.build((None, None, units))

    def call(self, inputs: Any) -> Any:
        batch, rows = ops.shape(inputs)[:2]
        flat = ops.reshape(inputs, (batch, rows, math.prod(inputs.shape[2:])))
        hidden = self.hidden_2(self.hidden_1(flat))
        deltas = ops.reshape(self.deltas(hidden), (batch, rows, self.num_classes, 4))
        return self.logits(hidden), deltas

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:2], self.num_classes + 1), (*input_shape[:2], self.num_classes, 4)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "units": self.units}
