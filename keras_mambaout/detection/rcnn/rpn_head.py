"""The first stage: where there might be an object."""

from typing import Any

from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import convolution, normal
from keras_mambaout.serialization import serializable

DEVIATION = 0.01  # of the initial kernels


@serializable
class RPNHead(CompositeLayer):
    """Head of a region proposal network, the same for all levels: `conv3x3, ReLU`, and two `conv1x1`.

    Args:
        channels: Channels of the hidden convolution.
        num_anchors: Anchors in each cell.

    Shapes:
        List of `(B, H_l, W_l, C)` -> list of logits `(B, H_l * W_l * num_anchors)` and list of deltas
        `(B, H_l * W_l * num_anchors, 4)`, in the order of `make_anchors`.

    Example:
    ```python
    logits, deltas = RPNHead()(levels)
    ```

    Source: [Ren et al., Faster R-CNN](https://arxiv.org/abs/1506.01497), section 3.1
    """

    def __init__(self, channels: int = 256, num_anchors: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels, self.num_anchors = channels, num_anchors

    @not_rematerialized
    def build(self, input_shape: Any) -> None:
        dtype, anchors = self.dtype_policy, self.num_anchors
        self.hidden = convolution(self.channels, 3, "hidden", dtype, normal(DEVIATION), "relu")
        self.objectness = convolution(anchors, 1, "objectness", dtype, normal(DEVIATION))
        self.deltas = convolution(4 * anchors, 1, "deltas", dtype, normal(DEVIATION))
        self.hidden.build(input_shape[0])
        for layer in (self.objectness, self.deltas):
            layer.build((*input_shape[0][:-1], self.channels))

    def call(self, inputs: Any) -> Any:
        logits, deltas = [], []
        for feature in inputs:
            hidden = self.hidden(feature)
            rows = ops.shape(feature)[1] * ops.shape(feature)[2] * self.num_anchors
            logits.append(ops.reshape(self.objectness(hidden), (-1, rows)))
            deltas.append(ops.reshape(self.deltas(hidden), (-1, rows, 4)))
        return logits, deltas

    def compute_output_shape(self, input_shape: Any) -> Any:
        rows = [(b, h and w and h * w * self.num_anchors) for b, h, w, _ in input_shape]
        return rows, [(*shape, 4) for shape in rows]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "num_anchors": self.num_anchors}
