"""The layer that the heads of UperNet are made of."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.head_layers import VarianceScaling, convolution, normal
from keras_mambaout.layers.replica_batch_norm import ReplicaBatchNormalization
from keras_mambaout.layers.replicas import replica_count
from keras_mambaout.segmentation.uper.resizing import resize_bilinear
from keras_mambaout.serialization import serializable

NORM_MOMENTUM = 0.9  # of the moving averages; 0.1 in PyTorch's sense
NORM_EPSILON = 1e-5
CLASSIFIER_DEVIATION = 0.01  # of the initial kernels of the last layers


@serializable
class ConvNormReLU(CompositeLayer):
    """A convolution without bias that keeps height and width, batch normalisation, and ReLU.

    `y = max(gamma * (conv(x) - mean) / sqrt(variance + 1e-5) + beta, 0)`, with the mean and variance of the batch in
    training, over all devices that share it, and otherwise their moving averages, `average <- 0.9 * average + 0.1 *
    value`. (PyTorch averages `n / (n - 1)` times the variance of `n` values.)

    Args:
        filters: Channels out.
        kernel_size: Height and width of the kernel, odd.

    Shapes:
        `(B, H, W, C)` -> `(B, H, W, filters)`. Or a list of `(B, H_i, W_i, C_i)`, which are resized to the height and
        width of the first, bilinearly, and concatenated: `C` is the sum of the `C_i`.

    Example:
    ```python
    ConvNormReLU(512, 3)(keras.ops.ones((1, 16, 16, 96))).shape  # (1, 16, 16, 512)
    ```

    Source: `ConvModule` of [mmcv](https://github.com/open-mmlab/mmcv), with its initial values
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.kernel_size = filters, kernel_size

    @not_rematerialized
    def build(self, input_shape: Any) -> None:
        self.conv = convolution(
            self.filters,
            self.kernel_size,
            "conv",
            self.dtype_policy,
            VarianceScaling(2.0, "fan_out"),
            use_bias=False,
        )
        self.norm = ReplicaBatchNormalization(
            momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, dtype=self.dtype_policy, name="norm"
        )
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        return ops.relu(self.norm(self.conv(_one_map(inputs)), training=training))

    def rematerialized_call(self, layer_call: Callable, *args: Any, training: bool = False) -> Callable:
        """Computes anew all but the moving averages, which would count a batch twice.

        Where several devices of TensorFlow or PyTorch share a batch, nothing is: the backward pass would average over
        them again.
        """
        if not (training and self.norm.trainable) or replica_count() > 1:
            return layer_call
        compute = super().rematerialized_call(self._with_statistics, *args)

        def call(inputs: Any, training: bool = False) -> Any:
            x, mean, variance = compute(*inputs) if isinstance(inputs, (list, tuple)) else compute(inputs)
            self.norm.count(mean, variance)
            return x

        return call

    def _with_statistics(self, *maps):
        x, mean, variance = self.norm.normalized(self.conv(_one_map(maps)))
        return ops.relu(x), mean, variance

    def compute_output_shape(self, input_shape: Any) -> Any:
        first = input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape
        return (*first[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}


def _one_map(inputs):
    """Resizes feature maps to the size of the first and concatenates them; one alone stays as it is."""
    if not isinstance(inputs, (list, tuple)):
        return inputs
    size = ops.shape(inputs[0])[1:3]
    maps = [resize_bilinear(feature, size) for feature in inputs]
    return ops.concatenate(maps, axis=-1) if len(maps) > 1 else maps[0]  # (B, H, W, sum of channels)


@not_rematerialized
def classifier(num_classes: int, dtype: Any) -> keras.layers.Conv2D:
    """Returns the last layer of a head, a 1x1 convolution to logits."""
    return convolution(num_classes, 1, "classifier", dtype, normal(CLASSIFIER_DEVIATION))


@not_rematerialized
def channel_dropout(rate: float, dtype: Any) -> keras.layers.SpatialDropout2D:
    """Returns the layer before the classifier, which sets whole channels to 0 in training."""
    return keras.layers.SpatialDropout2D(rate, data_format="channels_last", dtype=dtype, name="dropout")
