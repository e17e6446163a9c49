"""The recipe for Mask R-CNN on COCO."""

import dataclasses

from keras_mambaout.arguments import check_number, check_positive_integer
from keras_mambaout.detection.resizing import ResizeRule
from keras_mambaout.training.recipe import DensePredictionRecipe
from keras_mambaout.training.schedule import WarmupSteps


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceSegmentationRecipe(DensePredictionRecipe):
    """The numbers of a Mask R-CNN training; the defaults are the paper's on COCO, the schedule "1x".

    The learning rate follows the batch size, as in `ClassificationRecipe`.

    Args:
        epochs: Passes over the training images.
        batch_size: Images that a weight update is computed from, over all accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        milestones: Epochs after which the learning rate is divided by 10.
        warmup_steps: Updates of linear warm-up, at most those of the first epoch.
        warmup_learning_rate: Learning rate of the first update.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1, beta_2, epsilon: Of AdamW.
        drop_path_rate: Stochastic depth of the backbone, in `[0, 1)`; for `mask_rcnn`.
        shortest_edge: Short side of the images in pixels.
        longest_edge: At most this long is the long side.
        image_size: Instead of `shortest_edge` and `longest_edge` one size to fit in, an integer or `(H, W)`: batches of one
            shape, which JAX compiles once. `None` for the sides.
        flip: Probability of mirroring.
        max_boxes: Objects of an image, the largest, that are learned from.
        mask_size: Side of their masks in the frames of their boxes.
        ema_momentum: As in `ClassificationRecipe`.
        clip_norm: As in `ClassificationRecipe`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = InstanceSegmentationRecipe.paper("mambaout_tiny")
    model = mask_rcnn("mambaout_tiny", data.num_classes, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, val_data, "output/instances")
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), section on COCO, and the
    [configurations of Swin Transformer](https://github.com/SwinTransformer/Swin-Transformer-Object-Detection), which
    it is based on.
    """

    epochs: int = 12
    batch_size: int = 16
    base_learning_rate: float = 1e-4
    base_batch_size: int = 16
    milestones: tuple = (8, 11)
    warmup_steps: int = 1000
    warmup_learning_rate: float = 1e-7
    shortest_edge: int = 800
    longest_edge: int = 1333
    image_size: int | tuple | None = None
    flip: float = 0.5
    max_boxes: int = 100
    mask_size: int = 112

    monitor = "val_segm_AP"  # what the best checkpoint is chosen by

    def __post_init__(self):
        super().__post_init__()
        for name in ("epochs", "max_boxes", "mask_size"):
            check_positive_integer(name, getattr(self, name))
        for epoch in self.milestones:
            check_positive_integer("milestones", epoch)
        check_number("warmup_steps", self.warmup_steps)
        check_number("flip", self.flip, 1.0)
        ResizeRule(**self.resizing)

    @property
    def resizing(self):
        """How images are resized, as arguments of `CocoDataset.batches`."""
        if self.image_size is not None:
            return {"image_size": self.image_size}
        return {"shortest_edge": self.shortest_edge, "longest_edge": self.longest_edge}

    def schedule(self, steps_per_epoch, accumulate=1):
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        updates = check_positive_integer("steps_per_epoch", steps_per_epoch) / accumulate
        milestones = [round(epoch * updates) for epoch in self.milestones]
        warmup, start = min(self.warmup_steps, int(updates)), min(self.warmup_learning_rate, self.learning_rate)
        return WarmupSteps(self.learning_rate, milestones, 0.1, warmup, start, accumulate)

    def batches(self, data, batch_size, seed=0, epochs=None, shard=(0, 1)):
        """Returns the batches of a `CocoDataset` for training.

        Order and mirroring of an epoch are a function of `seed` and its number.
        """
        return data.batches(
            batch_size,
            training=True,
            seed=seed,
            epochs=epochs,
            shard=shard,
            **self.resizing,
            flip=self.flip,
            masks=True,
            mask_size=self.mask_size,
            max_boxes=self.max_boxes,
            sizes=True,
        )

    def validation(self, data, batch_size):
        """Returns how `train` gets losses on data for validation, as `ClassificationRecipe.validation` does.

        AP is measured by a callback, `keras_mambaout.evaluation.CocoMeanAveragePrecision`.
        """
        options = {"masks": True, "mask_size": self.mask_size, "max_boxes": self.max_boxes, "sizes": True}
        return lambda shard: data.batches(batch_size, shard=shard, **self.resizing, **options)
