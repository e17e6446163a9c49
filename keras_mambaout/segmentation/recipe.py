"""The recipe for UperNet on ADE20K."""

import dataclasses
from typing import Any

import keras

from keras_mambaout.arguments import check_edges, check_number, check_positive_integer, check_positive_number
from keras_mambaout.config import DENSE_PREDICTION_DROP_PATH_RATES
from keras_mambaout.inference_settings import SegmentationSettings
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation
from keras_mambaout.segmentation.dataset import SegmentationDataset
from keras_mambaout.segmentation.evaluation import SegmentationMeanIoU
from keras_mambaout.segmentation.pictures import class_palette
from keras_mambaout.training.recipe import TrainingRecipe, check_steps
from keras_mambaout.training.schedule import Warmup, polynomial


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemanticSegmentationRecipe(TrainingRecipe):
    """The numbers of a UperNet training; the defaults are the paper's on ADE20K.

    Start with `SemanticSegmentationRecipe.paper(variant)`, and change numbers with `dataclasses.replace`.

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`. It
    rises linearly in the warm-up, then falls as a polynomial.

    Args:
        epochs: Passes over the training images; 127 are 160,000 updates with the 20,210 images of ADE20K.
        iterations: Updates after which the learning rate is 0, at most those of all epochs.
        batch_size: Images per weight update, over all devices and accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        power: Of the polynomial; 1 is a straight line.
        warmup_steps: Updates of linear warm-up, at most a tenth of all.
        warmup_learning_rate: Learning rate of the first update.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1: Of AdamW.
        beta_2: Of AdamW.
        epsilon: Of AdamW.
        drop_path_rate: Stochastic depth of the backbone, in `[0, 1)`; pass it to `upernet`.
        crop_size: Side of the crops in pixels.
        shortest_edge: Short side of the images in pixels, before random scaling.
        longest_edge: The long side is at most this long.
        augmentation: A `SegmentationAugmentation`, for training images.
        ema_momentum: Decay of an exponential moving average of the weights per update, such as 0.9999, or `None`.
        clip_norm: Largest norm of all gradients together, or `None`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = SemanticSegmentationRecipe.paper("mambaout_tiny")
    model = upernet("mambaout_tiny", data.num_classes, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, val_data, "output/semantic")
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), section on ADE20K, which is based on the
    [configurations of Swin Transformer](https://github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation).
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
    augmentation: SegmentationAugmentation = dataclasses.field(default_factory=SegmentationAugmentation)

    monitor = "val_mIoU"
    drop_path_rates = DENSE_PREDICTION_DROP_PATH_RATES

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("iterations", "crop_size"):
            check_positive_integer(name, getattr(self, name))
        check_positive_number("power", self.power)
        check_number("warmup_steps", self.warmup_steps)
        check_edges(self.shortest_edge, self.longest_edge)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of images and crops, as arguments of `SegmentationDataset.batches` and `evaluate_segmenter`."""
        return {"crop_size": self.crop_size, "shortest_edge": self.shortest_edge, "longest_edge": self.longest_edge}

    def schedule(self, steps_per_epoch: int, accumulate: int = 1) -> Warmup:
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        check_steps(steps_per_epoch, accumulate)
        total = max(min(self.iterations, self.epochs * steps_per_epoch // accumulate), 1)
        warmup, start = min(self.warmup_steps, total // 10), min(self.warmup_learning_rate, self.learning_rate)
        return Warmup(polynomial(self.learning_rate, total, self.power), warmup, start, accumulate)

    @property
    def training_options(self) -> dict[str, Any]:
        """Augmented crops and their label maps."""
        return {**self.sizes, "augmentation": self.augmentation}

    @property
    def validation_options(self) -> dict[str, Any]:
        """The centres of the images. They give the loss; mIoU is measured by what `callbacks` returns."""
        return {**self.sizes, "full": True}

    def inference_settings(self, data: SegmentationDataset) -> SegmentationSettings:
        """Returns the classes of a data set with their colours, and the sizes of images and windows."""
        palette = class_palette(data.class_names).tolist()
        return SegmentationSettings(class_names=data.class_names, **self.sizes, palette=palette)

    def callbacks(self, val_data: SegmentationDataset, batch_size: int) -> list[keras.callbacks.Callback]:
        """Returns the callback that measures mIoU after each epoch, in windows of the crop's size."""
        return [SegmentationMeanIoU(val_data, batch_size, **self.sizes)]
