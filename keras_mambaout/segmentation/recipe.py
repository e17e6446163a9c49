"""The recipe for UperNet on ADE20K."""

import dataclasses

from keras_mambaout.arguments import check_edges, check_number, check_positive_integer, check_positive_number
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation
from keras_mambaout.training.recipe import DensePredictionRecipe
from keras_mambaout.training.schedule import WarmupPolynomial


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticSegmentationRecipe(DensePredictionRecipe):
    """The numbers of a UperNet training; the defaults are the paper's on ADE20K.

    The learning rate follows the batch size, as in `ClassificationRecipe`.

    Args:
        epochs: Passes over the training images; 127 are 160,000 updates with the 20,210 images of ADE20K.
        iterations: Updates after which the learning rate is 0, at most those of all epochs.
        batch_size: Images that a weight update is computed from, over all accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        power: Of the polynomial that the learning rate falls by; 1 is a straight line.
        warmup_steps: Updates of linear warm-up, at most a tenth of all.
        warmup_learning_rate: Learning rate of the first update.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1, beta_2, epsilon: Of AdamW.
        drop_path_rate: Stochastic depth of the backbone, in `[0, 1)`; for `upernet`.
        crop_size: Side of the crops in pixels.
        shortest_edge: Short side of the images in pixels, before random scaling.
        longest_edge: At most this long is the long side.
        scale_range: Of `SegmentationAugmentation`, and so are the next three.
        cat_max_ratio: See above.
        flip: See above.
        photometric_distortion: See above.
        ema_momentum: As in `ClassificationRecipe`.
        clip_norm: As in `ClassificationRecipe`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = SemanticSegmentationRecipe.paper("mambaout_tiny")
    model = upernet("mambaout_tiny", data.num_classes, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, output="output/scenes", callbacks=[SegmentationMeanIoU(val_data)])
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), section on ADE20K, and the
    [configurations of Swin Transformer](https://github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation),
    which it is based on.
    """

    epochs: int = 127
    iterations: int = 160_000
    batch_size: int = 16
    base_learning_rate: float = 1e-4
    base_batch_size: int = 16
    power: float = 1.0
    warmup_steps: int = 1500
    warmup_learning_rate: float = 1e-10
    crop_size: int = 512
    shortest_edge: int = 512
    longest_edge: int = 2048
    scale_range: tuple = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    photometric_distortion: bool = True

    monitor = "val_mIoU"  # what the best checkpoint is chosen by

    def __post_init__(self):
        super().__post_init__()
        for name in ("epochs", "iterations", "crop_size"):
            check_positive_integer(name, getattr(self, name))
        check_positive_number("power", self.power)
        check_number("warmup_steps", self.warmup_steps)
        check_edges(self.shortest_edge, self.longest_edge)
        _ = self.augmentation  # checks its numbers

    @property
    def augmentation(self):
        """The augmentation of training images."""
        return SegmentationAugmentation(
            scale_range=self.scale_range,
            cat_max_ratio=self.cat_max_ratio,
            flip=self.flip,
            photometric_distortion=self.photometric_distortion,
        )

    @property
    def sizes(self):
        """The sizes of images and crops, as arguments of `SegmentationDataset.batches` and `evaluate_segmenter`."""
        return {"crop_size": self.crop_size, "shortest_edge": self.shortest_edge, "longest_edge": self.longest_edge}

    def schedule(self, steps_per_epoch, accumulate=1):
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        updates = self.epochs * check_positive_integer("steps_per_epoch", steps_per_epoch) // accumulate
        total = max(min(self.iterations, updates), 1)
        warmup, start = min(self.warmup_steps, total // 10), min(self.warmup_learning_rate, self.learning_rate)
        return WarmupPolynomial(self.learning_rate, total, self.power, warmup, start, 0.0, accumulate)

    def batches(self, data, batch_size, seed=0, epochs=None, shard=(0, 1)):
        """Returns the batches of a `SegmentationDataset` for training.

        Order and augmentation of an epoch are a function of `seed` and its number.
        """
        options = {**self.sizes, "training": True, "augmentation": self.augmentation}
        return data.batches(batch_size, **options, seed=seed, epochs=epochs, shard=shard)

    def validation(self, data, batch_size):
        """Returns how `train` gets the loss on data for validation, on the centres of its images.

        The mean intersection over union is measured by a callback, `keras_mambaout.evaluation.SegmentationMeanIoU`.
        """
        return lambda shard: data.batches(batch_size, **self.sizes, shard=shard)
