"""The paper's augmentation for training on ImageNet, put together."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_mambaout.arguments import check_number, check_positive_integer, check_range
from keras_mambaout.extras import import_tensorflow
from keras_mambaout.preprocessing.mix import MixUpOrCutMix, check_alpha
from keras_mambaout.preprocessing.rand_augment import MAX_MAGNITUDE, RandAugment
from keras_mambaout.preprocessing.random_erasing import RandomErasing
from keras_mambaout.preprocessing.random_resized_crop import RandomResizedCrop, check_interpolation


@dataclasses.dataclass(frozen=True)
class ClassificationAugmentation:
    """How images are changed at random while training; the numbers of the paper are the defaults.

    An image is cut out and resized (`RandomResizedCrop`), mirrored left to right, changed by
    `RandAugment`, and partly erased (`RandomErasing`), in this order; batches are then mixed
    (`MixUpOrCutMix`). Nothing is normalised: the models do that. It runs in `tf.data`, whatever
    the backend, and keeps no state: the same seed gives the same pixels.

    Args:
        crop_scale: Least and largest share of an image's area that is cut out.
        crop_ratio: Least and largest width by height of what is cut out.
        interpolation: `"bilinear"`, `"bicubic"`, or both to draw one for each image.
        flip: Probability of mirroring left to right.
        rand_augment_ops: Operations of RandAugment per image; 0 for none.
        rand_augment_magnitude: Their mean strength, 0 to 10.
        rand_augment_std: Standard deviation of their strength.
        erasing: Probability of erasing a part of an image.
        mixup: Mixup's alpha, 0.1 or more; 0 for none.
        cutmix: CutMix's alpha, 0.1 to 1; 0 for none.
        mix_probability: Probability that a batch is mixed.
        switch_probability: Probability of CutMix if both are on.

    Raises:
        ValueError: If a number is not as described above.

    Example:
    ```python
    augmentation = ClassificationAugmentation(mixup=0.2, cutmix=0.0)
    transform, mix = augmentation.image_transform(224), augmentation.batch_transform()
    seeds = tf.data.Dataset.random(seed=0).batch(2, drop_remainder=True)
    images = tf.data.Dataset.zip((images, seeds)).map(transform)  # float32 (224, 224, 3), 0-255
    ```

    Source: [Yu and Wang, MambaOut](https://arxiv.org/abs/2405.07992), its training script.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str | tuple[str, ...] = ("bilinear", "bicubic")
    flip: float = 0.5
    rand_augment_ops: int = 2
    rand_augment_magnitude: float = 9.0
    rand_augment_std: float = 0.5
    erasing: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0
    mix_probability: float = 1.0
    switch_probability: float = 0.5

    def __post_init__(self) -> None:
        check_range("crop_scale", self.crop_scale, maximum=1.0)
        check_range("crop_ratio", self.crop_ratio)
        check_interpolation("interpolation", self.interpolation)
        if self.rand_augment_ops != 0:
            check_positive_integer("rand_augment_ops", self.rand_augment_ops, " 0 switches it off.")
        check_number("rand_augment_magnitude", self.rand_augment_magnitude, MAX_MAGNITUDE)
        check_number("rand_augment_std", self.rand_augment_std)
        check_alpha("mixup", self.mixup)
        check_alpha("cutmix", self.cutmix, maximum=1.0)
        for name in ("flip", "erasing", "mix_probability", "switch_probability"):
            check_number(name, getattr(self, name), 1.0)

    def image_transform(self, image_size: int) -> Callable:
        """Returns a function for `tf.data` that augments one image.

        Args:
            image_size: Side of the square that comes out, in pixels.

        Returns:
            A function of an image `(H, W, 3)`, RGB, 0-255, of any size, and of a seed, an integer tensor
            `(2,)`, that returns a float32 tensor `(image_size, image_size, 3)`, 0-255.

        Raises:
            ValueError: If `image_size` is not a positive integer.
            ImportError: If TensorFlow is not installed.
        """
        check_positive_integer("image_size", image_size)
        tf = import_tensorflow()
        settings = {"data_format": "channels_last", "dtype": "float32"}
        box = (self.crop_scale, self.crop_ratio, self.interpolation)
        strength = (self.rand_augment_ops or 1, self.rand_augment_magnitude, self.rand_augment_std)
        crop = RandomResizedCrop(image_size, image_size, *box, **settings)
        change = RandAugment(*strength, **settings)
        erase = RandomErasing(probability=1.0, **settings)
        for layer in (crop, change, erase):
            layer.backend.set_backend("tensorflow")

        @tf.autograph.experimental.do_not_convert
        def transform(image, seed):
            seeds = StatelessSeeds(seed)

            def draw(probability):
                return tf.random.stateless_uniform((), seeds.next()) < probability

            def apply(layer, image):
                return layer.transform_single_image(image, layer.get_random_transformation(image, seed=seeds))

            image = apply(crop, tf.ensure_shape(image, (None, None, 3)))
            image = tf.cond(draw(self.flip), lambda: tf.reverse(image, [1]), lambda: image)
            if self.rand_augment_ops:
                image = apply(change, image)
            image = tf.cond(draw(self.erasing), lambda: apply(erase, image), lambda: image)
            return tf.ensure_shape(image, (image_size, image_size, 3))

        return transform

    def batch_transform(self) -> Callable | None:
        """Returns a function for `tf.data` that mixes the images of a batch, or `None` if nothing is to be mixed.

        Returns:
            A function of images `(B, S, S, 3)`, one-hot labels `(B, K)` and a seed, an integer tensor `(2,)`,
            that returns images and labels as float32 tensors of these shapes.

        Raises:
            ImportError: If TensorFlow is not installed.
        """
        if not self.mix_probability or not (self.mixup or self.cutmix):
            return None
        tf = import_tensorflow()
        layer = MixUpOrCutMix(
            self.mixup,
            self.cutmix,
            self.mix_probability,
            self.switch_probability,
            data_format="channels_last",
            dtype="float32",
        )
        layer.backend.set_backend("tensorflow")

        @tf.autograph.experimental.do_not_convert
        def transform(images, labels, seed):
            drawn = layer.get_random_transformation({"images": images, "labels": labels}, seed=StatelessSeeds(seed))
            return layer.transform_images(images, drawn), layer.transform_labels(labels, drawn)

        return transform


class StatelessSeeds(keras.random.SeedGenerator):
    """Seeds for Keras' random layers inside `tf.data` that follow from one seed, without a variable.

    The n-th seed is `tf.random.experimental.stateless_fold_in(seed, n)`. Keras' own generator counts in a
    variable, so that what an image gets would depend on which image was read before.

    Args:
        seed: Integer tensor `(2,)`.

    Example:
    ```python
    drawn = layer.get_random_transformation(image, seed=StatelessSeeds(seed))
    ```
    """

    def __init__(self, seed: Any) -> None:
        self.seed, self.drawn = seed, 0  # without Keras' constructor, which makes the variable

    def next(self, ordered: bool = True) -> Any:
        self.drawn += 1
        return import_tensorflow().random.experimental.stateless_fold_in(self.seed, self.drawn)
