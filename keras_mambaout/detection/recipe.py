"""The recipe for Mask R-CNN on COCO."""

import dataclasses
from typing import Any

import keras

from keras_mambaout.arguments import check_number, check_positive_integer
from keras_mambaout.config import DENSE_PREDICTION_DROP_PATH_RATES
from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.evaluation import CocoMeanAveragePrecision
from keras_mambaout.detection.resizing import ResizeRule, check_multi_scale
from keras_mambaout.inference_settings import DetectionSettings
from keras_mambaout.training.recipe import TrainingRecipe, check_steps
from keras_mambaout.training.schedule import Warmup, milestones

MULTI_SCALE = tuple(range(480, 801, 32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceSegmentationRecipe(TrainingRecipe):
    """The numbers of a Mask R-CNN training; the defaults are the paper's on COCO, the schedule "1x".

    Start with `InstanceSegmentationRecipe.paper(variant)`, and change numbers with `dataclasses.replace`.

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`. It
    rises linearly in the warm-up, then stays, divided by 10 at each milestone.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per weight update, over all devices and accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        milestones: Epochs after which the learning rate is divided by 10.
        warmup_steps: Updates of linear warm-up, at most those of the first epoch.
        warmup_learning_rate: Learning rate of the first update.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1: Of AdamW.
        beta_2: Of AdamW.
        epsilon: Of AdamW.
        drop_path_rate: Stochastic depth of the backbone, in `[0, 1)`; pass it to `mask_rcnn`.
        shortest_edge: Short side of the images in pixels.
        longest_edge: The long side is at most this long.
        multi_scale: Short sides that one is drawn from for each image in training, in the place of `shortest_edge`,
            such as Swin's `range(480, 801, 32)` as a tuple. `None` for one scale.
        image_size: Instead of `shortest_edge` and `longest_edge` one size to fit in, an integer or `(H, W)`: batches
            of one shape, where the edges make up to six, each of which JAX compiles. `None` for the edges.
        flip: Probability of mirroring.
        max_boxes: Objects per image, the largest, that are learned from.
        mask_size: Side of their masks in the frames of their boxes.
        ema_momentum: Decay of an exponential moving average of the weights per update, such as 0.9999, or `None`.
        clip_norm: Largest norm of all gradients together, or `None`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = InstanceSegmentationRecipe.paper("mambaout_tiny")
    model = mask_rcnn("mambaout_tiny", data.num_classes, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, val_data, "output/instances")
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), section on COCO, which is based on the
    [configurations of Swin Transformer](https://github.com/SwinTransformer/Swin-Transformer-Object-Detection).
    """

    epochs: int = 12
    batch_size: int = 16
    base_learning_rate: float = 1e-4
    base_batch_size: int = 16
    milestones: tuple[int, ...] = (8, 11)
    warmup_steps: int = 1000
    warmup_learning_rate: float = 1e-7
    shortest_edge: int = 800
    longest_edge: int = 1333
    multi_scale: tuple[int, ...] | None = None
    image_size: int | tuple[int, int] | None = None
    flip: float = 0.5
    max_boxes: int = 100
    mask_size: int = 112

    monitor = "val_segm_AP"
    drop_path_rates = DENSE_PREDICTION_DROP_PATH_RATES

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_boxes", "mask_size"):
            check_positive_integer(name, getattr(self, name))
        for epoch in self.milestones:
            check_positive_integer("milestones", epoch)
        check_number("warmup_steps", self.warmup_steps)
        check_number("flip", self.flip, 1.0)
        ResizeRule(**self.resizing)
        if self.multi_scale is not None:
            if self.image_size is not None:
                raise ValueError(
                    "`multi_scale` has short sides and `image_size` one size: leave one of them out, got "
                    f"multi_scale={self.multi_scale!r} and image_size={self.image_size!r}."
                )
            object.__setattr__(self, "multi_scale", check_multi_scale(self.multi_scale, self.longest_edge))

    @property
    def resizing(self) -> dict[str, Any]:
        """How images are resized, as arguments of `CocoDataset.batches` and `evaluate_detector`."""
        if self.image_size is not None:
            return {"image_size": self.image_size}
        return {"shortest_edge": self.shortest_edge, "longest_edge": self.longest_edge}

    def schedule(self, steps_per_epoch: int, accumulate: int = 1) -> Warmup:
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        check_steps(steps_per_epoch, accumulate)
        updates = steps_per_epoch / accumulate
        constant = milestones(self.learning_rate, [round(epoch * updates) for epoch in self.milestones])
        warmup, start = min(self.warmup_steps, int(updates)), min(self.warmup_learning_rate, self.learning_rate)
        return Warmup(constant, warmup, start, accumulate)

    @property
    def training_options(self) -> dict[str, Any]:
        """Images with their sizes, mirrored and scaled at random, and their objects with masks."""
        return {**self._labelled, "flip": self.flip, "multi_scale": self.multi_scale}

    @property
    def validation_options(self) -> dict[str, Any]:
        """The same, not mirrored and at one scale. They give the losses; AP is measured by what `callbacks` returns."""
        return {**self._labelled, "full": True}

    @property
    def _labelled(self):
        masks = {"masks": True, "mask_size": self.mask_size, "max_boxes": self.max_boxes}
        return {**self.resizing, **masks, "sizes": True}

    def inference_settings(self, data: CocoDataset) -> DetectionSettings:
        """Returns the classes of a data set, and how images are resized."""
        return DetectionSettings(class_names=data.class_names, **self.resizing)

    def callbacks(self, val_data: CocoDataset, batch_size: int) -> list[keras.callbacks.Callback]:
        """Returns the callback that measures the AP of boxes and masks after each epoch."""
        return [CocoMeanAveragePrecision(val_data, batch_size, **self.resizing, iou_type=("bbox", "segm"))]
