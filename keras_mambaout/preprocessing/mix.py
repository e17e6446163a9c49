"""Mixup and CutMix, of which one is drawn for each batch."""

import functools
import math
from typing import Any

import keras

from keras_mambaout.arguments import check_number, is_number
from keras_mambaout.preprocessing.replacing import random_boxes, replace
from keras_mambaout.serialization import serializable

LEAST_ALPHA = 0.1  # TensorFlow draws weights as quotients; of smaller alphas both parts underflow, which gives 1/2
NOTHING, MIXUP, CUTMIX = range(3)


@serializable
class MixUpOrCutMix(keras.layers.MixUp):
    """Mixes each image of a batch with a second one, and their labels in the same proportion.

    A batch is mixed with probability `mix_probability`, by CutMix with probability
    `switch_probability` and otherwise by Mixup. Image `i` gets a partner `j` by a random permutation.

    - Mixup (`keras.layers.MixUp`): `x_i <- w x_i + (1 - w) x_j` with `w ~ Beta(mixup_alpha, mixup_alpha)`.
    - CutMix: a box of `x_j`, of sides `sqrt(1 - w)` of the image's with
      `w ~ Beta(cutmix_alpha, cutmix_alpha)`, is pasted into `x_i`, at a uniform place.

    Labels become `w y_i + (1 - w) y_j`; for CutMix `w` is the share of the pixels left (Keras takes the
    box's area before it is rounded to pixels). timm has one `w` and one box for the whole batch, and lets
    boxes stick out of the image; Keras' layers draw them for each image, inside.

    Args:
        mixup_alpha: Mixup's alpha, 0.1 or more; 0 leaves CutMix only.
        cutmix_alpha: CutMix's alpha, 0.1 to 1; 0 leaves Mixup only.
        mix_probability: Probability that a batch is mixed.
        switch_probability: Probability of CutMix if both are on.
        seed: Integer seed; `None` draws one.
        data_format: `"channels_last"` or `"channels_first"`; default Keras' global one.

    Shapes:
        A dict of `"images"` `(B, H, W, C)` and one-hot `"labels"` `(B, K)`, kept as they are. With
        `training=False` nothing is mixed.

    Raises:
        ValueError: If an argument is not as described above, or the input is not such a dict.

    Example:
    ```python
    mix = MixUpOrCutMix()
    batches = batches.map(lambda images, labels: mix({"images": images, "labels": labels}, training=True))
    ```

    Source: [Zhang et al., mixup](https://arxiv.org/abs/1710.09412),
    [Yun et al., CutMix](https://arxiv.org/abs/1905.04899); `Mixup` of
    [timm](https://github.com/huggingface/pytorch-image-models).
    """

    def __init__(
        self,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        mix_probability: float = 1.0,
        switch_probability: float = 0.5,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_alpha("mixup_alpha", mixup_alpha)
        check_alpha("cutmix_alpha", cutmix_alpha, maximum=1.0)
        if not mixup_alpha and not cutmix_alpha:
            raise ValueError("`mixup_alpha` and `cutmix_alpha` are both 0, which mixes nothing; set one of them.")
        super().__init__(alpha=mixup_alpha or 1.0, seed=seed, data_format=data_format, **kwargs)
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.mix_probability = check_number("mix_probability", mix_probability, 1.0)
        self.switch_probability = check_number("switch_probability", switch_probability, 1.0)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> dict | None:
        """Returns a dict: `"method"`, 0 for nothing, 1 for Mixup, 2 for CutMix, and what each of the two draws."""
        if not training:
            return None
        check_batch(data)
        ops = self.backend
        seed = self._get_seed_generator(ops.name) if seed is None else seed
        draws = ops.random.uniform((2,), dtype="float32", seed=seed)
        cutmix_share = (
            self.switch_probability if self.mixup_alpha and self.cutmix_alpha else float(not self.mixup_alpha)
        )
        method = ops.numpy.where(draws[1] < cutmix_share, CUTMIX, MIXUP)
        return {
            "method": ops.numpy.where(draws[0] < self.mix_probability, method, NOTHING),
            "mixup": super().get_random_transformation(data, seed=seed),
            "cutmix": self._random_cut(ops.shape(data["images"]), seed),
        }

    def _random_cut(self, shape, seed):
        ops, alpha = self.backend, self.cutmix_alpha or 1.0
        side = ops.numpy.sqrt(1.0 - ops.random.beta((shape[0],), alpha, alpha, dtype="float32", seed=seed))
        boxes = random_boxes(self, shape, side, side, seed)
        rows, columns = (ops.numpy.mean(ops.cast(mask, "float32"), axis=(1, 2, 3)) for mask in boxes)
        return {
            "boxes": boxes,
            "mix_weight": ops.cast(1.0 - rows * columns, self.compute_dtype),
            "permutation_order": ops.random.shuffle(ops.numpy.arange(shape[0], dtype="int32"), seed=seed),
        }

    def transform_images(self, images: Any, transformation: dict, training: bool = True) -> Any:
        """Returns the images mixed by what `get_random_transformation` returned."""
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        mix_up, mixup, cutmix = super().transform_images, transformation["mixup"], transformation["cutmix"]

        def paste(images):
            rows, columns = cutmix["boxes"]
            partners = self.backend.numpy.take(images, cutmix["permutation_order"], axis=0)
            return replace(images, partners, rows * columns)

        branches = [lambda images: images, lambda images: mix_up(images, mixup), paste]
        return self.backend.core.switch(transformation["method"], branches, images)

    def transform_labels(self, labels: Any, transformation: dict, training: bool = True) -> Any:
        """Returns the labels mixed by what `get_random_transformation` returned."""
        labels = self.backend.cast(labels, self.compute_dtype)
        if not training:
            return labels
        mix = super().transform_labels
        branches = [lambda labels: labels]
        branches += [functools.partial(mix, transformation=transformation[name]) for name in ("mixup", "cutmix")]
        return self.backend.core.switch(transformation["method"], branches, labels)

    def transform_bounding_boxes(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} mixes images with labels of whole images only.")

    transform_segmentation_masks = transform_bounding_boxes

    def get_config(self) -> dict:
        config = super().get_config()
        del config["alpha"]
        own = ("mixup_alpha", "cutmix_alpha", "mix_probability", "switch_probability", "data_format")
        return {**config, **{name: getattr(self, name) for name in own}}


def check_alpha(name: str, value: Any, maximum: float = math.inf) -> None:
    """Checks an alpha of Mixup or CutMix; 0 leaves it out."""
    limits = f"{LEAST_ALPHA} or more" if maximum == math.inf else f"from {LEAST_ALPHA} to {maximum:g}"
    if not is_number(value) or (value and not LEAST_ALPHA <= value <= maximum):
        raise ValueError(f"`{name}` must be a number {limits}, or 0 to leave it out, got {value!r}.")


def check_batch(data: Any) -> None:
    """Checks that `data` is a dict of a batch of images and their one-hot labels."""
    if not isinstance(data, dict) or not {"images", "labels"} <= set(data):
        given = f"a dict with {sorted(data)}" if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"Mixing needs a dict with 'images' (B, H, W, C) and 'labels' (B, K), got {given}.")
    ranks = len(data["images"].shape), len(data["labels"].shape)
    if ranks != (4, 2):
        raise ValueError(
            "Mixing needs 'images' (B, H, W, C) and one-hot 'labels' (B, K), got shapes "
            f"{tuple(data['images'].shape)} and {tuple(data['labels'].shape)}. Use keras.ops.one_hot for class numbers."
        )
