"""RandAugment with the operations and strengths that the paper trained with."""

import functools
from typing import Any

import keras

from keras_mambaout.arguments import DATA_FORMATS, check_choice, check_number, check_positive_integer
from keras_mambaout.preprocessing.rand_augment_operations import OPERATIONS
from keras_mambaout.preprocessing.reading import check_rgb_images
from keras_mambaout.serialization import serializable

MAX_MAGNITUDE = 10.0
FILL_COLOR = (124, 116, 104)  # ImageNet's mean
KERAS_LAYERS = ("random_posterization", "random_color_degeneration")
MOVING = ("bilinear", "nearest")


@serializable
class RandAugment(keras.layers.RandAugment):
    """Changes each image by operations drawn at random, as timm's `rand-m9-mstd0.5-inc1` does.

    Each of the `num_ops` operations is drawn from the 15 below, all equally likely, left out with probability
    `1 - probability`, and has the strength `m = clip(N(magnitude, magnitude_std), 0, 10) / 10`. A sign
    `±` is drawn too.

    | operation | what it does |
    |---|---|
    | `auto_contrast` | stretches each channel to 0-255 |
    | `equalize` | makes each channel's histogram even |
    | `invert` | `255 - x` |
    | `rotate` | by `±30 m` degrees around the centre |
    | `posterize` | keeps the highest `max(1, 4 - floor(4 m))` of 8 bits (`keras.layers.RandomPosterization`) |
    | `solarize` | `255 - x` where `x >= 256 - floor(256 m)` |
    | `solarize_add` | `x + floor(110 m)` where `x < 128` |
    | `color` | `f x + (1 - f) grey(x)`, `f = 1 ± 0.9 m` (`keras.layers.RandomColorDegeneration`) |
    | `contrast` | `f x + (1 - f) mean(grey(x))` |
    | `brightness` | `f x` |
    | `sharpness` | `f x + (1 - f) smooth(x)` inside of the border |
    | `shear_x`, `shear_y` | by `±0.3 m`; the top left corner stays |
    | `translate_x`, `translate_y` | by `±0.45 m` of the width or height |

    Unlike in `keras.layers.RandAugment`, only the operations that were drawn are run, each image of a
    batch has its own, and strengths go both ways. Where a layer of Keras does not do what Pillow, and
    so timm, does, it is not used: `Equalization` makes one histogram of a batch and maps a grey level
    to the upper end of its share, `RandomContrast` keeps the mean of each channel, `RandomBrightness`
    adds a constant, `RandomSharpness` darkens the border, and what moves an image fills up with one
    number; `AutoContrast` and `Solarization` do the same in more time. Unlike timm, this moves images
    bilinearly only, and rounds nothing to integers.

    Args:
        num_ops: Operations per image, 1 or more.
        magnitude: Mean strength, 0 to 10.
        magnitude_std: Standard deviation of the strength.
        probability: Probability that an operation is not left out.
        fill_color: R, G and B, 0-255, of what comes into view when an image is moved.
        interpolation: `"bilinear"` or `"nearest"`, for moving an image.
        seed: Integer seed; `None` draws one.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Shapes:
        `(H, W, 3)` or `(B, H, W, 3)` of 0-255 RGB, kept as it is, in the layer's compute dtype; also as
        `"images"` of a dict, beside `"labels"`. With `training=False` images stay as they are.

    Raises:
        ValueError: If an argument is not as described above, or images are not RGB.

    Example:
    ```python
    augment = RandAugment()
    images = dataset.map(lambda image: augment(image, training=True), num_parallel_calls=tf.data.AUTOTUNE)
    ```

    Source: [Cubuk et al., RandAugment](https://arxiv.org/abs/1909.13719); `rand_augment_transform` of
    [timm](https://github.com/huggingface/pytorch-image-models).
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: float = 9.0,
        magnitude_std: float = 0.5,
        probability: float = 0.5,
        fill_color: tuple[float, float, float] = FILL_COLOR,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("num_ops", num_ops)
        check_choice("interpolation", interpolation, MOVING)
        data_format = data_format or keras.config.image_data_format()
        # Keras' layers get channels last: AutoContrast takes nothing else.
        super().__init__(num_ops=num_ops, interpolation=interpolation, seed=seed, data_format=DATA_FORMATS[0], **kwargs)
        self.data_format = check_choice("data_format", data_format, DATA_FORMATS)
        self.magnitude = check_number("magnitude", magnitude, MAX_MAGNITUDE)
        self.magnitude_std = check_number("magnitude_std", magnitude_std)
        self.probability = check_number("probability", probability, 1.0)
        if not isinstance(fill_color, (tuple, list)) or len(fill_color) != 3:
            raise ValueError(f"`fill_color` must be three numbers from 0 to 255, got {fill_color!r}.")
        self.fill_color = tuple(check_number("fill_color", value, 255) for value in fill_color)
        for name in KERAS_LAYERS:
            getattr(self, name).backend = self.backend  # one for all, since they run inside of this layer

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> dict | None:
        """Returns a dict of `(B, num_ops)`: `"operations"`, places in `OPERATIONS`, `"magnitudes"` and `"signs"`."""
        if not training:
            return None
        images = data["images"] if isinstance(data, dict) else data
        check_rgb_images(self, images)
        ops, random = self.backend.numpy, self.backend.random
        seed = self._get_seed_generator(self.backend.name) if seed is None else seed
        shape = self.backend.shape(images)
        draws = (shape[0] if len(shape) == 4 else 1, self.num_ops)
        operations = random.randint(draws, 0, len(OPERATIONS), seed=seed)
        left_out = random.uniform(draws, dtype="float32", seed=seed) >= self.probability
        magnitudes = random.normal(draws, self.magnitude, self.magnitude_std, dtype="float32", seed=seed)
        positive = random.uniform(draws, dtype="float32", seed=seed) < 0.5
        return {
            "operations": ops.where(left_out, len(OPERATIONS), operations),
            "magnitudes": ops.clip(magnitudes, 0.0, MAX_MAGNITUDE),
            "signs": ops.where(positive, 1.0, -1.0),
        }

    def transform_images(self, images: Any, transformation: dict, training: bool = True) -> Any:
        """Returns the images changed by what `get_random_transformation` returned."""
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        return self.backend.core.map(lambda inputs: self._augment(*inputs), (images, transformation))

    def transform_single_image(self, image: Any, transformation: dict, training: bool = True) -> Any:
        image = self.backend.cast(image, self.compute_dtype)
        if not training:
            return image
        return self._augment(image, {key: values[0] for key, values in transformation.items()})

    def _augment(self, image, drawn):
        channels_first = self.data_format == "channels_first"
        if channels_first:
            image = self.backend.numpy.transpose(image, (1, 2, 0))
        branches = [functools.partial(operation, self) for operation in OPERATIONS.values()]
        branches.append(lambda images, strength, sign: images)
        image = image[None]  # (1, H, W, 3)
        for i in range(self.num_ops):
            strength = self.backend.cast(drawn["magnitudes"][i] / MAX_MAGNITUDE, self.compute_dtype)
            sign = self.backend.cast(drawn["signs"][i], self.compute_dtype)
            image = self.backend.core.switch(drawn["operations"][i], branches, image, strength, sign)
        return self.backend.numpy.transpose(image[0], (2, 0, 1)) if channels_first else image[0]

    def transform_bounding_boxes(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} augments images with labels of whole images only.")

    transform_segmentation_masks = transform_bounding_boxes

    def get_config(self) -> dict:
        config = super().get_config()
        del config["value_range"], config["factor"]  # Keras', which this layer has other arguments for
        own = ("magnitude", "magnitude_std", "probability", "fill_color", "data_format")
        return {**config, **{name: getattr(self, name) for name in own}}
