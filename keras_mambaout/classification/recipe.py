"""The recipe for classification, by default the paper's on ImageNet."""

import dataclasses
from typing import Any, Self

import keras

from keras_mambaout.arguments import check_number, check_positive_integer, check_rate
from keras_mambaout.classification.augmentation import ClassificationAugmentation
from keras_mambaout.classification.dataset import ClassificationDataset
from keras_mambaout.config import CLASSIFICATION_DROP_PATH_RATES
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.scores import gives_logits
from keras_mambaout.training.recipe import TrainingRecipe, check_steps
from keras_mambaout.training.schedule import Warmup, cosine


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationRecipe(TrainingRecipe):
    """The numbers of a classification training; the defaults are the paper's on ImageNet-1k.

    Start with `ClassificationRecipe.paper(variant)` or `ClassificationRecipe.finetune(variant)`, and change numbers
    with `dataclasses.replace(recipe, epochs=100)`.

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`. It
    rises linearly in the warm-up, then falls as a cosine.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per weight update, over all devices and accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        warmup_epochs: Epochs of linear warm-up; may be a fraction.
        warmup_learning_rate: Learning rate of the first update.
        min_learning_rate: Learning rate at the end of the cosine.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1: Of AdamW.
        beta_2: Of AdamW.
        epsilon: Of AdamW.
        label_smoothing: Share of the target that is spread over all classes.
        drop_path_rate: Stochastic depth of the model, in `[0, 1)`; pass it to `create_model`.
        image_size: Side of the training images in pixels.
        augmentation: A `ClassificationAugmentation`, for training images.
        ema_momentum: Decay of an exponential moving average of the weights per update, such as 0.9999, or `None`.
        clip_norm: Largest norm of all gradients together, or `None`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = dataclasses.replace(ClassificationRecipe.paper("mambaout_femto"), batch_size=1024)
    model = create_model("mambaout_femto", weights=None, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, val_data, "output/femto")
    ```

    or with `fit`:

    ```python
    recipe.compile(model, data.steps_per_epoch(recipe.batch_size))
    model.fit(recipe.batches(data, recipe.batch_size), epochs=recipe.epochs)
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), appendix on ImageNet training.
    """

    epochs: int = 300
    batch_size: int = 4096
    base_learning_rate: float = 4e-3
    base_batch_size: int = 4096
    warmup_epochs: float = 20
    warmup_learning_rate: float = 1e-6
    min_learning_rate: float = 1e-5
    label_smoothing: float = 0.1
    image_size: int = 224
    augmentation: ClassificationAugmentation = dataclasses.field(default_factory=ClassificationAugmentation)

    monitor = "val_accuracy"
    drop_path_rates = CLASSIFICATION_DROP_PATH_RATES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_integer("image_size", self.image_size)
        check_rate("label_smoothing", self.label_smoothing)
        check_number("min_learning_rate", self.min_learning_rate)
        check_number("warmup_epochs", self.warmup_epochs, maximum=self.epochs)

    @classmethod
    def finetune(cls, variant: str) -> Self:
        """Returns a recipe for a few thousand photos of your own, starting from published weights.

        It is not the paper's, which does not fine-tune classifiers: 30 epochs in batches of 64 with a small learning
        rate, crops of a third of the image or more, weak RandAugment, nothing mixed or erased, half the drop path.
        """
        return dataclasses.replace(
            cls.paper(variant),
            epochs=30,
            batch_size=64,
            base_learning_rate=2e-4,
            base_batch_size=64,
            warmup_epochs=3,
            min_learning_rate=1e-6,
            drop_path_rate=cls.drop_path_rates[variant] / 2,
            augmentation=ClassificationAugmentation(
                crop_scale=(0.35, 1.0), rand_augment_magnitude=5.0, erasing=0.0, mixup=0.0, cutmix=0.0
            ),
        )

    def schedule(self, steps_per_epoch: int, accumulate: int = 1) -> Warmup:
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        check_steps(steps_per_epoch, accumulate)
        total = max(1, self.epochs * steps_per_epoch // accumulate)
        warmup = min(total, int(self.warmup_epochs * steps_per_epoch / accumulate))
        start = min(self.warmup_learning_rate, self.learning_rate)
        end = min(self.min_learning_rate, self.learning_rate)
        return Warmup(cosine(self.learning_rate, total, end), warmup, start, accumulate)

    @property
    def training_options(self) -> dict[str, Any]:
        """Augmented images, with labels that are one-hot or mixed."""
        return {"image_size": self.image_size, "label_mode": "categorical", "augmentation": self.augmentation}

    @property
    def validation_options(self) -> dict[str, Any]:
        """Images in order, with weights, so that all shards have full batches."""
        return {"image_size": self.image_size, "label_mode": "categorical", "weighted": True}

    def inference_settings(self, data: ClassificationDataset) -> ClassificationSettings:
        """Returns the classes of a data set, and the size of the images; `validation_data` are cropped by default."""
        return ClassificationSettings(class_names=data.class_names, image_size=self.image_size)

    def compile(self, model: keras.Model, steps_per_epoch: int, accumulate: int = 1, **kwargs: Any) -> None:
        """Compiles a classifier: AdamW, warm-up and cosine, label smoothing, top-1 and top-5 accuracy.

        Args:
            model: A `keras.Model` with output `(B, classes)`, probabilities or logits. Labels are one-hot or mixed,
                `(B, classes)`.
            steps_per_epoch: Batches in an epoch of `fit`.
            accumulate: Batches per weight update (`gradient_accumulation_steps`): each then has
                `batch_size / accumulate` images.
            **kwargs: Further arguments of `model.compile`, such as `jit_compile`.

        Raises:
            ValueError: If a count is not a positive integer, or the last layer does not tell probabilities from
                logits.
        """
        from_logits = gives_logits(model)
        if from_logits is None:
            raise ValueError(
                "The model's last layer must have the activation softmax or none, so that its loss is known."
            )
        loss = keras.losses.CategoricalCrossentropy(from_logits, self.label_smoothing)
        metrics = [keras.metrics.CategoricalAccuracy("accuracy")]
        if model.output_shape[-1] > 5:
            metrics.append(keras.metrics.TopKCategoricalAccuracy(5, "top_5_accuracy"))
        super().compile(model, steps_per_epoch, accumulate, loss=loss, weighted_metrics=metrics, **kwargs)
