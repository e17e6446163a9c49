"""Erasing a random part of an image."""

import math
from typing import Any

import keras
import numpy as np

from keras_mambaout.arguments import check_number, check_range
from keras_mambaout.layers.image_normalization import IMAGENET_MEAN, IMAGENET_STD
from keras_mambaout.preprocessing.reading import check_rgb_images
from keras_mambaout.preprocessing.replacing import random_boxes, replace
from keras_mambaout.serialization import serializable


@serializable
class RandomErasing(keras.layers.RandomErasing):
    """Erases a box of an image with noise that is `N(0, 1)` once the model has normalised it.

    `x <- clip(255 (mean + std N(0, 1)), 0, 255)` for each pixel and channel of the box, with ImageNet's mean
    and standard deviation. Keras' own noise, `clip(255 N(0, 1), 0, 255)`, is 0 at half of the places.
    The box is Keras': each side is `sqrt(U(scale))` of the image's, so that it covers 0.16 of the image on
    average; timm's, of area `U(scale)` and width by height 0.3 to 3.3, covers 0.18.

    Args:
        probability: Probability of erasing.
        scale: Least and largest square of the ratio of a box's side to the image's, above 0 and at most 1.
        seed: Integer seed; `None` draws one.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Shapes:
        `(H, W, 3)` or `(B, H, W, 3)` of 0-255 RGB, kept as it is, in the layer's compute dtype; also as
        `"images"` of a dict, beside `"labels"`. With `training=False` nothing is erased.

    Raises:
        ValueError: If an argument is not as described above, or images are not RGB.

    Example:
    ```python
    images = dataset.map(RandomErasing(0.25))
    ```

    Source: [Zhong et al., Random erasing](https://arxiv.org/abs/1708.04896); `RandomErasing` of
    [timm](https://github.com/huggingface/pytorch-image-models), mode `"pixel"`.
    """

    def __init__(
        self,
        probability: float = 0.25,
        scale: tuple[float, float] = (0.02, 1 / 3),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_number("probability", probability, 1.0)
        check_range("scale", scale, maximum=1.0)
        # A pair, since of a single number Keras draws a probability below.
        super().__init__((probability,) * 2, scale, fill_value=0.0, seed=seed, data_format=data_format, **kwargs)
        self.probability = probability

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> dict | None:
        """Returns a dict: `"erased"` `(B,)`, `"boxes"`, what `random_boxes` returns, and `"noise"`, like the images."""
        if not training:
            return None
        images = data["images"] if isinstance(data, dict) else data
        check_rgb_images(self, images)
        ops = self.backend
        seed = self._get_seed_generator(ops.name) if seed is None else seed
        shape, uniform = ops.shape(images), ops.random.uniform
        shape = shape if len(shape) == 4 else (1, *shape)
        sides = ops.numpy.sqrt(uniform((shape[0], 2), *self.scale, "float32", seed))
        return {
            "erased": uniform((shape[0],), dtype="float32", seed=seed) < self.probability,
            "boxes": random_boxes(self, shape, sides[:, 0], sides[:, 1], seed),
            "noise": self._noise(shape, seed),
        }

    def _noise(self, shape, seed):
        """Returns noise for images of a shape: as much of it as a box can cover, over and over."""
        ops, size, repeats = self.backend, list(shape), math.ceil(1 / math.sqrt(self.scale[1]))
        for axis in (self.height_axis, self.width_axis):
            size[axis] = shape[axis] * math.ceil(1000 * math.sqrt(self.scale[1])) // 1000 + 1
        mean, std = (self._of_channels(rgb, size[self.width_axis]) for rgb in (IMAGENET_MEAN, IMAGENET_STD))
        noise = mean + std * ops.random.normal(size, dtype="float32", seed=seed)
        noise = ops.cast(ops.numpy.clip(noise, 0.0, 255.0), self.compute_dtype)
        for axis in (self.width_axis, self.height_axis):
            noise = ops.numpy.concatenate([noise] * repeats, axis=axis)
        return noise[tuple(slice(side) for side in shape)]

    def _of_channels(self, rgb, width):
        """Returns `255 rgb`, channels last for each pixel of a row: TensorFlow adds that in a fifth of the time."""
        values = self.backend.convert_to_tensor(255.0 * np.array(rgb), "float32")
        if self.data_format == "channels_last":
            return self.backend.numpy.tile(values[None], (width, 1))
        return values[:, None, None]

    def transform_images(self, images: Any, transformation: dict | None = None, training: bool = True) -> Any:
        """Returns the images erased by what `get_random_transformation` returned."""
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        rows, columns = transformation["boxes"]
        erased = self.backend.cast(transformation["erased"], self.compute_dtype)[:, None, None, None]
        return replace(images, transformation["noise"], erased * rows * columns)

    def get_config(self) -> dict:
        config = super().get_config()
        for name in ("factor", "fill_value", "value_range"):  # which this layer sets itself
            del config[name]
        return {**config, "probability": self.probability, "data_format": self.data_format}
