"""Normalisation of 0-255 RGB images with ImageNet's statistics, as the first layer of a model."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_mambaout.serialization import serializable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@serializable
class ImageNormalization(keras.layers.Layer):
    """Brings 0-255 pixels to the range that the published weights were trained on.

    `y[..., c] = (x[..., c] / 255 - mean[c]) / std[c]`

    Images of other than three channels take the statistics that fit the adapted first kernel: one
    channel the average over R, G and B, more channels R, G, B, R, G, B, ... in turn.
    `keras.layers.Normalization` takes one mean for each channel of its input and refuses any other
    number of channels.

    Args:
        mean: Means of R, G and B on a scale from 0 to 1; default ImageNet's.
        std: Standard deviations of R, G and B on the same scale; default ImageNet's.

    Shapes:
        `(B, H, W, C)`, kept as it is.

    Example:
    ```python
    ImageNormalization()(keras.ops.full((1, 1, 1, 3), 255.0))  # about 2.25, 2.43, 2.64
    ```

    Source: the evaluation transform of the
    [authors' code](https://github.com/yuweihao/MambaOut) and of timm.
    """

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD, **kwargs):
        super().__init__(**kwargs)
        self.mean = tuple(mean)
        self.std = tuple(std)

    def call(self, inputs):
        channels = inputs.shape[-1]
        mean, std = for_channels(self.mean, channels), for_channels(self.std, channels)
        scale = ops.convert_to_tensor(1.0 / (255.0 * std), self.compute_dtype)
        offset = ops.convert_to_tensor(-mean / std, self.compute_dtype)
        return ops.add(ops.multiply(inputs, scale), offset)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}


def for_channels(rgb: Sequence[float], channels: int) -> np.ndarray:
    """Returns the statistics of images with this number of channels."""
    return np.mean(rgb, keepdims=True) if channels == 1 else np.resize(rgb, channels)
