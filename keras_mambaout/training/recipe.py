"""What the recipes of all tasks have in common: what `train` asks of a recipe, and how weights are updated."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self

import keras

from keras_mambaout.arguments import (
    check_choice,
    check_number,
    check_positive_integer,
    check_positive_number,
    check_rate,
)
from keras_mambaout.data.dataset import ImageDataset
from keras_mambaout.inference_settings import InferenceSettings
from keras_mambaout.training.optimizer import AdamW


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecipe(abc.ABC):
    """The base of recipes: all numbers of a training run, and the methods that `train` calls.

    A subclass adds its own numbers, `schedule`, `training_options`, `validation_options`, `inference_settings` and
    `callbacks`, and says which log, the highest, `best.keras` is chosen by (`monitor`), and what drop path the models
    of the paper have (`drop_path_rates`).

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per weight update, over all devices and accumulated steps.
        base_learning_rate: Highest learning rate at `base_batch_size`.
        base_batch_size: The batch size that `base_learning_rate` is meant for.
        warmup_learning_rate: Learning rate of the first update.
        weight_decay: Of AdamW, on matrices and kernels only.
        beta_1: Of AdamW.
        beta_2: Of AdamW.
        epsilon: Of AdamW.
        drop_path_rate: Stochastic depth, in `[0, 1)`; `train` leaves it to whoever makes the model.
        ema_momentum: Decay of an exponential moving average of the weights per update, such as 0.9999, or `None`.
        clip_norm: Largest norm of all gradients together, or `None`.

    Raises:
        ValueError: If a number is out of range.
    """

    monitor: ClassVar[str]
    drop_path_rates: ClassVar[dict[str, float]]

    epochs: int
    batch_size: int
    base_learning_rate: float
    base_batch_size: int
    warmup_learning_rate: float
    weight_decay: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    drop_path_rate: float = 0.0
    ema_momentum: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "base_batch_size"):
            check_positive_integer(name, getattr(self, name))
        for name in ("drop_path_rate", "beta_1", "beta_2"):
            check_rate(name, getattr(self, name))
        for name in ("base_learning_rate", "epsilon"):
            check_positive_number(name, getattr(self, name))
        for name in ("warmup_learning_rate", "weight_decay"):
            check_number(name, getattr(self, name))
        if self.ema_momentum is not None:
            check_rate("ema_momentum", self.ema_momentum)
        if self.clip_norm is not None:
            check_positive_number("clip_norm", self.clip_norm)

    @classmethod
    def paper(cls, variant: str) -> Self:
        """Returns the paper's recipe for a model name; models that the paper did not train have a drop path too."""
        check_choice("variant", variant, tuple(cls.drop_path_rates))
        return cls(drop_path_rate=cls.drop_path_rates[variant])

    @property
    def learning_rate(self) -> float:
        """The highest learning rate, scaled with the batch size."""
        return self.base_learning_rate * self.batch_size / self.base_batch_size

    def step_batch_size(self, accumulate: int = 1, replicas: int = 1) -> int:
        """Returns the images per step of `fit`, on all devices together.

        Args:
            accumulate: Steps per weight update.
            replicas: Devices that share a step.

        Raises:
            ValueError: If `batch_size` cannot be divided that way.
        """
        parts = check_positive_integer("accumulate", accumulate) * replicas
        if self.batch_size % parts:
            raise ValueError(
                f"A batch of {self.batch_size} images does not go into {accumulate} accumulated steps on {replicas} "
                f"device(s): take a multiple of {parts}."
            )
        return self.batch_size // accumulate

    def compile(self, model: keras.Model, steps_per_epoch: int, accumulate: int = 1, **kwargs: Any) -> None:
        """Compiles a model that has its own losses, with AdamW and the recipe's learning rates.

        Args:
            model: The model.
            steps_per_epoch: Batches in an epoch of `fit`.
            accumulate: Batches per weight update (`gradient_accumulation_steps`): each then has
                `batch_size / accumulate` images.
            **kwargs: Further arguments of `model.compile`, such as `jit_compile`.

        Raises:
            ValueError: If a count is not a positive integer.
        """
        model.compile(self.optimizer(self.schedule(steps_per_epoch, accumulate), accumulate), **kwargs)

    def optimizer(self, schedule: keras.optimizers.schedules.LearningRateSchedule, accumulate: int = 1) -> AdamW:
        """Returns the `AdamW` with this learning rate; it updates the weights once per `accumulate` batches."""
        return AdamW(
            schedule,
            weight_decay=self.weight_decay,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            global_clipnorm=self.clip_norm,
            gradient_accumulation_steps=accumulate if accumulate > 1 else None,
            use_ema=self.ema_momentum is not None,
            # Keras averages after each batch, also where the weights are not updated
            ema_momentum=0.99 if self.ema_momentum is None else self.ema_momentum ** (1 / accumulate),
        )

    @abc.abstractmethod
    def schedule(self, steps_per_epoch: int, accumulate: int = 1) -> keras.optimizers.schedules.LearningRateSchedule:
        """Returns the learning rate as a function of the number of batches, `accumulate` of which make an update."""

    @property
    @abc.abstractmethod
    def training_options(self) -> dict[str, Any]:
        """The task's own arguments of the data set's `batches`, for training."""

    @property
    @abc.abstractmethod
    def validation_options(self) -> dict[str, Any]:
        """The task's own arguments of the data set's `batches`, for `validation_data`."""

    @abc.abstractmethod
    def inference_settings(self, data: ImageDataset) -> InferenceSettings:
        """Returns what a model that is trained on a data set carries along."""

    def batches(
        self,
        data: ImageDataset,
        batch_size: int,
        seed: int = 0,
        epochs: tuple[int, int] | None = None,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> Any:
        """Returns the batches for training, a `tf.data.Dataset`; arguments as those of the data set's `batches`."""
        options = {**self.training_options, "training": True}
        return data.batches(batch_size, **options, seed=seed, epochs=epochs, first_step=first_step, shard=shard)

    def validation(self, val_data: ImageDataset, batch_size: int) -> Callable[[tuple[int, int]], Any]:
        """Returns a function of a shard, `(index, count)`, that makes the batches for `validation_data`."""
        return lambda shard: val_data.batches(batch_size, **self.validation_options, shard=shard)

    def callbacks(self, val_data: ImageDataset, batch_size: int) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that measure what `monitor` names after each epoch; none if `fit` itself does."""
        return []


def check_steps(steps_per_epoch: int, accumulate: int) -> None:
    """Checks the arguments of `TrainingRecipe.schedule`."""
    check_positive_integer("steps_per_epoch", steps_per_epoch)
    check_positive_integer("accumulate", accumulate)
