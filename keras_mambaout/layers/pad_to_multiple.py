"""Pads images so that every level of a feature pyramid has exactly its stride."""

from typing import Any

import keras
from keras import ops

from keras_mambaout.serialization import serializable


@serializable
class PadToMultiple(keras.layers.Layer):
    """Pads height and width with zeros, at the bottom and the right, to multiples of a number.

    `H' = ceil(H / multiple) * multiple`, and `W'` likewise. Pixels keep their coordinates, so boxes
    and masks stay where they are. After the padding to a multiple of 32 a level of stride `s` has
    exactly `H' / s` rows and each level twice those of the next, which the upsampling of a feature
    pyramid network relies on.

    Args:
        multiple: Positive integer.

    Shapes:
        `(B, H, W, C)` -> `(B, H', W', C)`; unknown sizes stay unknown.

    Example:
    ```python
    PadToMultiple(32)(keras.ops.ones((1, 100, 64, 3))).shape  # (1, 128, 64, 3)
    ```
    """

    def __init__(self, multiple: int, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs):
        return pad_to_multiple(inputs, self.multiple)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, *(size and size + -size % self.multiple for size in (height, width)), channels)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


def pad_to_multiple(images: Any, multiple: int) -> Any:
    """Returns `images` `(B, H, W, C)` padded as `PadToMultiple` does."""
    _, height, width, _ = ops.shape(images)
    bottom, right = -height % multiple, -width % multiple
    if isinstance(bottom, int) and isinstance(right, int) and bottom == right == 0:
        return images
    return ops.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)))
