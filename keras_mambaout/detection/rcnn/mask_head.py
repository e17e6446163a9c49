"""The third head: which pixels of a box belong to the object."""

import functools
import itertools
from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import VarianceScaling, convolution, normal
from keras_mambaout.serialization import serializable

CONVOLUTIONS = 4
ALWAYS = 16  # boxes of an image whose masks are always computed
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
        `(B, R, S, S, channels)` -> logits `(B, R, 2S, 2S, C)`. With `classes`, integers `(B, R)` from 0 to `C - 1`, the
        masks of these alone, `(B, R, 2S, 2S)`, in less memory.

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
            "bhwc,cijd->bhwijd",
            (height, width, 2, 2, self.channels),
            activation="relu",
            bias_axes="d",
            kernel_initializer=VarianceScaling(2.0, "fan_out", in_axis=0),
            dtype=self.dtype_of("upsampling"),
            name="upsampling",
        )
        self.upsampling.build((None, height, width, inputs))
        self.masks = convolution(self.num_classes, 1, "masks", dtype, normal(DEVIATION))
        self.masks.build((None, height, 4 * width, inputs))

    def call(self, inputs: Any, classes: Any = None) -> Any:
        batch, rows, height, width = ops.shape(inputs)[:4]
        x = ops.reshape(inputs, (-1, height, width, inputs.shape[-1]))
        for layer in self.convolutions:
            x = layer(x)
        x = self.upsampling(x)  # (B * R, S, S, 2, 2, channels)
        x = ops.reshape(x, (-1, height, 4 * width, self.channels))  # the last layer treats each pixel by itself
        masks = self.masks(x) if classes is None else self._masks_of(x, ops.reshape(classes, (-1,)))
        shape = () if classes is not None else (self.num_classes,)
        masks = ops.reshape(masks, (-1, height, width, 2, 2, *shape))
        masks = ops.swapaxes(masks, 2, 3)  # pixels are in the right places now, when there are fewer values
        return ops.reshape(masks, (batch, rows, 2 * height, 2 * width, *shape))

    def _masks_of(self, x, classes):
        """Returns what the last layer computes of one class for each box, `(B * R, S, 4 * S)`."""
        kernel = ops.take(ops.cast(self.masks.kernel[0, 0], x.dtype), classes, axis=1)  # (channels, B * R)
        bias = ops.take(ops.cast(self.masks.bias, x.dtype), classes, axis=0)
        return ops.einsum("rhwc,cr->rhw", x, kernel) + bias[:, None, None]

    def compute_output_shape(self, inputs_shape: Any, classes_shape: Any = None) -> Any:
        batch, rows, height, width, _ = inputs_shape
        shape = (batch, rows, 2 * height, 2 * width)
        return shape if classes_shape is not None else (*shape, self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes, "channels": self.channels}


def needed_masks(head: MaskHead, inputs: Any, classes: Any, needed: Any) -> Any:
    """Returns the masks of the boxes that need one, which come first and are often few; zeros for most of the others.

    The first 16 boxes of each image are computed in any case, so that the head has a gradient; the next 16, the next
    32, and so on only where one of them is needed.

    Args:
        head: The mask head.
        inputs: `(B, R, S, S, channels)`.
        classes: `(B, R)`, integers.
        needed: Boolean `(B, R)`: a positive sample, or a detection.

    Returns:
        Logits `(B, R, 2S, 2S)`, float32.
    """

    def compute(rows):
        return ops.cast(head(inputs[:, rows], classes=classes[:, rows]), "float32")

    def leave_out(rows):
        return ops.zeros((*ops.shape(needed[:, rows]), *(2 * side for side in inputs.shape[2:4])))

    count = needed.shape[1]
    ends = [ALWAYS * 2**n for n in range(count.bit_length()) if ALWAYS * 2**n < count]
    parts = [compute(slice(ALWAYS))]
    for rows in (slice(*pair) for pair in itertools.pairwise([*ends, count])):
        choices = (functools.partial(function, rows) for function in (compute, leave_out))
        parts.append(ops.cond(ops.any(needed[:, rows]), *choices))
    return ops.concatenate(parts, axis=1)
