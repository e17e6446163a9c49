"""Training recipes: every number of a training run, and a `compile` that sets them."""

import dataclasses
import functools

import keras

from keras_mambaout.arguments import (
    check_choice,
    check_number,
    check_positive_integer,
    check_rate,
)
from keras_mambaout.classification.augmentation import ClassificationAugmentation
from keras_mambaout.config import CLASSIFICATION_DROP_PATH_RATES
from keras_mambaout.models.classifier import gives_logits
from keras_mambaout.training.recipe import TrainingRecipe
from keras_mambaout.training.schedule import WarmupCosine


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationRecipe(TrainingRecipe):
    """The numbers of a classification training; the defaults are the paper's on ImageNet-1k.

    `ClassificationRecipe.paper(variant)` and `ClassificationRecipe.finetune(variant)` are where to start, `dataclasses.replace(recipe,
    epochs=100)` makes another one.

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`.

    Args:
        epochs: Passes over the training images.
        batch_size: Images that a weight update is computed from, over all devices and accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        warmup_epochs: Epochs of linear warm-up, may be a fraction.
        warmup_learning_rate: Learning rate of the first update.
        min_learning_rate: Learning rate at the end of the cosine.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1, beta_2, epsilon: Of AdamW.
        label_smoothing: Share of the target that is spread over all classes.
        drop_path_rate: Stochastic depth of the model, in `[0, 1)`; for `create_model`.
        image_size: Side of the training images in pixels.
        augmentation: An `ClassificationAugmentation`, for `ClassificationDataset.batches`.
        ema_momentum: Decay of an exponential moving average of the weights per update, such as 0.9999, or `None`.
        clip_norm: Largest norm of all gradients together, or `None`.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    recipe = dataclasses.replace(ClassificationRecipe.paper("mambaout_femto"), batch_size=1024)
    model = create_model("mambaout_femto", weights=None, drop_path_rate=recipe.drop_path_rate)
    steps = data.steps_per_epoch(recipe.batch_size)
    recipe.compile(model, steps)
    batches = data.batches(
        recipe.batch_size,
        training=True,
        image_size=recipe.image_size,
        augmentation=recipe.augmentation,
        label_mode="categorical",
    )
    model.fit(batches, epochs=recipe.epochs)
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

    monitor = "val_accuracy"  # what the best checkpoint is chosen by
    several_devices = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("epochs", "image_size"):
            check_positive_integer(name, getattr(self, name))
        check_rate("label_smoothing", self.label_smoothing)
        check_number("min_learning_rate", self.min_learning_rate)
        check_number("warmup_epochs", self.warmup_epochs, maximum=self.epochs)

    @classmethod
    def paper(cls, variant):
        """Returns the paper's recipe for a model name; `rw` models get the drop path of their size."""
        check_choice("variant", variant, tuple(CLASSIFICATION_DROP_PATH_RATES))
        return cls(drop_path_rate=CLASSIFICATION_DROP_PATH_RATES[variant])

    @classmethod
    def finetune(cls, variant):
        """Returns a recipe for a few thousand photos of one's own, from published weights.

        Not the paper's, which does not fine-tune classifiers: 30 epochs in batches of 64 with a small learning
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
            drop_path_rate=CLASSIFICATION_DROP_PATH_RATES[variant] / 2,
            augmentation=ClassificationAugmentation(
                crop_scale=(0.35, 1.0), rand_augment_magnitude=5.0, erasing=0.0, mixup=0.0, cutmix=0.0
            ),
        )

    def schedule(self, steps_per_epoch, accumulate=1):
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""
        check_positive_integer("steps_per_epoch", steps_per_epoch)
        check_positive_integer("accumulate", accumulate)
        total = max(1, self.epochs * steps_per_epoch // accumulate)
        warmup = min(total, int(self.warmup_epochs * steps_per_epoch / accumulate))
        start = min(self.warmup_learning_rate, self.learning_rate)
        end = min(self.min_learning_rate, self.learning_rate)
        return WarmupCosine(self.learning_rate, total, warmup, start, end, accumulate)

    def batches(self, data, batch_size, seed=0, epochs=None, shard=(0, 1)):
        """Returns the batches of a `ClassificationDataset` for training, one-hot or mixed."""
        return data.batches(
            batch_size,
            image_size=self.image_size,
            training=True,
            augmentation=self.augmentation,
            label_mode="categorical",
            seed=seed,
            epochs=epochs,
            shard=shard,
        )

    def validation(self, data, batch_size):
        """Returns a function of a shard that makes the batches for `validation_data`."""
        make = functools.partial(
            data.batches, batch_size, image_size=self.image_size, label_mode="categorical", weighted=True
        )
        return lambda shard: make(shard=shard)

    def compile(self, model, steps_per_epoch, accumulate=1, **kwargs):
        """Compiles a classifier: AdamW, warm-up and cosine, label smoothing, top-1 and top-5.

        Args:
            model: A `keras.Model` with output `(B, classes)`, probabilities or logits. Labels are one-hot or mixed,
                `(B, classes)`.
            steps_per_epoch: Batches in an epoch of `fit`.
            accumulate: Batches that a weight update is computed from (`gradient_accumulation_steps`): each then has
                `batch_size / accumulate` images.
            **kwargs: Further arguments of `model.compile`, such as `jit_compile`.

        Raises:
            ValueError: If a count is no positive integer, or the last layer does not tell probabilities from logits.
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
        optimizer = self.optimizer(self.schedule(steps_per_epoch, accumulate), accumulate)
        model.compile(optimizer, loss, weighted_metrics=metrics, **kwargs)
