"""A random part of an image, resized to the model's input."""

import functools
import math
from typing import Any

import keras

from keras_mambaout.arguments import check_positive_integer, check_range
from keras_mambaout.serialization import serializable

INTERPOLATIONS = ("bilinear", "bicubic")
TRIES = 10


@serializable
class RandomResizedCrop(keras.layers.RandomCrop):
    """Cuts out a box of random area and shape and resizes it, with antialiasing.

    `area = H W U(scale)`, `ratio = exp(U(log ratio))`, `w = round(sqrt(area ratio))`,
    `h = round(sqrt(area / ratio))`, at a uniform place. The first of ten such boxes that fits into the
    image is taken; if none does, the largest box at the centre whose shape is within `ratio`. The method
    of resizing is drawn too. With `training=False` it is the largest box at the centre of the output's
    shape, resized by the last of `interpolation`.

    As in `keras.layers.RandomCrop`, the images of a batch share their box: for one per image, map the
    layer over a `tf.data.Dataset` of images, where they may have any size. Bounding boxes are not
    supported.

    Args:
        height: Height of the output in pixels.
        width: Width of the output in pixels.
        scale: Least and largest share of the image's area, above 0 and at most 1.
        ratio: Least and largest width by height.
        interpolation: `"bilinear"`, `"bicubic"`, or both to draw one of them.
        seed: Integer seed; `None` draws one.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Shapes:
        `(H, W, C)` or `(B, H, W, C)` of 0-255 to `(height, width, C)` or `(B, height, width, C)` of
        0-255, in the layer's compute dtype; also as `"images"` of a dict, beside `"labels"`.

    Raises:
        ValueError: If an argument is not as described above.

    Example:
    ```python
    crop = RandomResizedCrop(224, 224)
    images = dataset.map(lambda image: crop(image, training=True), num_parallel_calls=tf.data.AUTOTUNE)
    ```

    Source: [Szegedy et al., Going deeper with convolutions](https://arxiv.org/abs/1409.4842);
    `RandomResizedCropAndInterpolation` of [timm](https://github.com/huggingface/pytorch-image-models).
    """

    def __init__(
        self,
        height: int,
        width: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str | tuple[str, ...] = ("bilinear", "bicubic"),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("height", height)
        check_positive_integer("width", width)
        super().__init__(height, width, seed=seed, data_format=data_format, **kwargs)
        self.scale = check_range("scale", scale, maximum=1.0)
        self.ratio = check_range("ratio", ratio)
        self.interpolation = check_interpolation("interpolation", interpolation)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> dict:
        """Returns a dict of integers: `"top"`, `"left"`, `"height"`, `"width"` in pixels, and `"interpolation"`."""
        ops = self.backend
        shape = ops.shape(data["images"] if isinstance(data, dict) else data)
        image_size = [ops.cast(shape[axis], "float32") for axis in (self.height_axis, self.width_axis)]
        if training:
            seed = self._get_seed_generator(ops.name) if seed is None else seed
            box = self._random_box(*image_size, seed)
            method = ops.random.randint((), 0, len(self.interpolation), seed=seed)
        else:
            size = self._largest_box(*image_size, self.width / self.height, self.width / self.height)
            box = (*self._central_place(image_size, size), *size)
            method = len(self.interpolation) - 1
        names = ("top", "left", "height", "width")
        return {
            **{name: ops.cast(value, "int32") for name, value in zip(names, box, strict=True)},
            "interpolation": method,
        }

    def _random_box(self, image_height, image_width, seed):
        ops, uniform = self.backend.numpy, self.backend.random.uniform
        areas = image_height * image_width * uniform((TRIES,), *self.scale, "float32", seed)
        ratios = ops.exp(uniform((TRIES,), math.log(self.ratio[0]), math.log(self.ratio[1]), "float32", seed))
        heights, widths = ops.round(ops.sqrt(areas / ratios)), ops.round(ops.sqrt(areas * ratios))
        fits = (heights >= 1) & (widths >= 1) & (heights <= image_height) & (widths <= image_width)
        found, first = ops.any(fits), ops.argmax(ops.cast(fits, "int32"))

        image_size = (image_height, image_width)
        largest = self._largest_box(*image_size, *self.ratio)
        size = [ops.where(found, sides[first], side) for sides, side in zip((heights, widths), largest, strict=True)]
        draws = uniform((2,), 0.0, 1.0, "float32", seed)
        random_place = [ops.floor(draws[i] * (image_size[i] - size[i] + 1)) for i in range(2)]
        central_place = self._central_place(image_size, size)
        place = [ops.where(found, *places) for places in zip(random_place, central_place, strict=True)]
        return *place, *size

    def _largest_box(self, image_height, image_width, least_ratio, largest_ratio):
        """Returns height and width of the largest box in an image whose width by height is within a range."""
        ops = self.backend.numpy
        height = ops.minimum(image_height, ops.round(image_width / least_ratio))
        width = ops.minimum(image_width, ops.round(image_height * largest_ratio))
        return ops.maximum(height, 1.0), ops.maximum(width, 1.0)

    def _central_place(self, image_size, size):
        return [self.backend.numpy.floor((whole - part) / 2) for whole, part in zip(image_size, size, strict=True)]

    def transform_images(self, images: Any, transformation: dict, training: bool = True) -> Any:
        """Returns the box of the images, resized; `transformation` is what `get_random_transformation` returns."""
        box = [slice(None)] * len(images.shape)
        box[self.height_axis] = slice(transformation["top"], transformation["top"] + transformation["height"])
        box[self.width_axis] = slice(transformation["left"], transformation["left"] + transformation["width"])
        images = self.backend.cast(images[tuple(box)], "float32")
        grows = (transformation["height"] <= self.height) & (transformation["width"] <= self.width)
        resize = [functools.partial(self._resize, grows=grows, interpolation=name) for name in self.interpolation]
        images = self.backend.core.switch(transformation["interpolation"], resize, images)
        return self.backend.cast(images, self.compute_dtype)

    def _resize(self, images, grows, interpolation):
        if interpolation == "bicubic":  # which overshoots
            return self.backend.numpy.clip(self._antialiased(images, interpolation), 0.0, 255.0)

        def plain():
            return self.backend.image.resize(images, (self.height, self.width), data_format=self.data_format)

        # The same without antialiasing where the image grows, in less time.
        return self.backend.core.cond(grows, plain, lambda: self._antialiased(images, interpolation))

    def _antialiased(self, images, interpolation):
        ops, size = self.backend, (self.height, self.width)
        if ops.name != "tensorflow":
            return ops.image.resize(images, size, interpolation, antialias=True, data_format=self.data_format)
        # The same pixels in less time: TensorFlow's kernel is slow along three channels, and fast along whole lines.
        images = self._resize_side(images, self.height_axis, self.height, interpolation)
        images = ops.numpy.swapaxes(images, self.height_axis, -1)  # the width is at -2 now
        images = self._resize_side(images, -2, self.width, interpolation)
        return ops.numpy.swapaxes(images, self.height_axis, -1)

    def _resize_side(self, images, axis, side, interpolation):
        ops, shape = self.backend, self.backend.shape(images)
        before, after = shape[:axis], shape[axis:][1:]
        lines = ops.numpy.reshape(images, (math.prod(before), shape[axis], 1, math.prod(after)))
        lines = ops.image.resize(lines, (side, 1), interpolation, antialias=True, data_format="channels_last")
        return ops.numpy.reshape(lines, (*before, side, *after))

    def transform_bounding_boxes(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} augments images with labels of whole images only.")

    transform_segmentation_masks = transform_bounding_boxes

    def get_config(self) -> dict:
        config = {"scale": self.scale, "ratio": self.ratio, "interpolation": self.interpolation}
        return {**super().get_config(), **config, "data_format": self.data_format}


def check_interpolation(name: str, value: Any) -> tuple[str, ...]:
    """Returns the names of one or several of `INTERPOLATIONS` as a tuple."""
    names = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not names or not all(name in INTERPOLATIONS for name in names):
        allowed = " or ".join(map(repr, INTERPOLATIONS))
        raise ValueError(f"`{name}` must be {allowed}, or several of them to draw from, got {value!r}.")
    return names
