"""Layers of the heads of detectors and segmenters, with initial values that are the same on every backend."""

import math
import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mambaout.layers import kernels
from keras_mambaout.layers.common import TruncatedNormal
from keras_mambaout.serialization import serializable

TRUNCATED_DEVIATION = 0.8796  # of the normal distribution without its tails beyond 2


@serializable
class VarianceScaling(keras.initializers.Initializer):
    """Truncated normal distribution whose standard deviation, `sqrt(scale / fan)`, follows from the kernel's shape.

    Keras' `VarianceScaling` is not used: it draws with the backend's generator, so that one seed gives different
    values on each backend, and it takes the kernel of an `EinsumDense` for that of a convolution.

    Args:
        scale: Positive number; 1 is Glorot's with `"fan_avg"`, 2 is He's with `"fan_in"` or `"fan_out"`.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`, their mean. A fan is the product of the sizes of the kernel
            without `out_axis` or without `in_axis`.
        in_axis: Axis of the kernel with the channels in.
        out_axis: Axis of the kernel with the channels out.
        seed: Integer seed; `None` draws one from Python's generator (`keras.utils.set_random_seed`).

    Example:
    ```python
    VarianceScaling(2.0, "fan_out")((3, 3, 64, 128))  # standard deviation sqrt(2 / (9 * 128))
    ```

    Source: [Glorot and Bengio](https://proceedings.mlr.press/v9/glorot10a.html);
    [He et al.](https://arxiv.org/abs/1502.01852)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_avg",
        in_axis: int = -2,
        out_axis: int = -1,
        seed: int | None = None,
    ):
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"`mode` must be one of 'fan_in', 'fan_out', 'fan_avg', got {mode!r}.")
        self.scale, self.mode, self.in_axis, self.out_axis = scale, mode, in_axis, out_axis
        self.seed = random.randint(1, 2**31 - 1) if seed is None else seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        fan_in, fan_out = (math.prod(shape) // shape[axis] for axis in (self.out_axis, self.in_axis))
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        return TruncatedNormal(math.sqrt(self.scale / fan) / TRUNCATED_DEVIATION, self.seed)(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "in_axis": self.in_axis,
            "out_axis": self.out_axis,
            "seed": self.seed,
        }


def normal(deviation: float) -> TruncatedNormal:
    """Returns the initializer of a truncated normal distribution with this standard deviation after truncation."""
    return TruncatedNormal(deviation / TRUNCATED_DEVIATION)


@serializable
class Conv2D(keras.layers.Conv2D):
    """Keras' Conv2D with stride 1 and odd sides, which keeps height and width, computed as the backend does it best."""

    def call(self, inputs: Any) -> Any:
        bias = ops.convert_to_tensor(self.bias, self.compute_dtype) if self.use_bias else None
        kernel = ops.convert_to_tensor(self.kernel, self.compute_dtype)
        return self.activation(kernels.conv(inputs, kernel, bias))


def convolution(
    filters: int,
    size: int,
    name: str,
    dtype: Any = None,
    initializer: keras.initializers.Initializer | None = None,
    activation: str | None = None,
    use_bias: bool = True,
) -> Conv2D:
    """Returns a convolution that keeps height and width.

    Args:
        filters: Channels out.
        size: Height and width of the kernel.
        name: Name of the layer.
        dtype: Dtype policy.
        initializer: Of the kernel; `None` is Glorot's, `VarianceScaling()`.
        activation: As for `keras.layers.Conv2D`.
        use_bias: As for `keras.layers.Conv2D`.
    """
    return Conv2D(
        filters,
        size,
        padding="same",
        data_format="channels_last",
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=initializer or VarianceScaling(),
        dtype=dtype,
        name=name,
    )


def dense(
    units: int,
    name: str,
    dtype: Any = None,
    initializer: keras.initializers.Initializer | None = None,
    activation: str | None = None,
) -> keras.layers.Dense:
    """Returns a dense layer; the arguments are those of `convolution`."""
    return keras.layers.Dense(
        units, activation=activation, kernel_initializer=initializer or VarianceScaling(), dtype=dtype, name=name
    )
