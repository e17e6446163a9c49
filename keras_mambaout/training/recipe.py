"""What the recipes of all tasks have in common: how weights are updated."""

import dataclasses

from keras_mambaout.arguments import (
    check_choice,
    check_number,
    check_positive_integer,
    check_positive_number,
    check_rate,
)
from keras_mambaout.config import DENSE_PREDICTION_DROP_PATH_RATES
from keras_mambaout.training.optimizer import AdamW


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """The numbers of AdamW, of the batch, and of what regularises; a recipe is a subclass with further ones.

    The learning rate follows the batch size: `learning_rate = base_learning_rate * batch_size / base_batch_size`.
    """

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

    def __post_init__(self):
        for name in ("batch_size", "base_batch_size"):
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

    @property
    def learning_rate(self):
        """The highest learning rate, scaled with the batch size."""
        return self.base_learning_rate * self.batch_size / self.base_batch_size

    def optimizer(self, schedule, accumulate=1):
        """Returns the `AdamW` with this learning rate; an update is computed from `accumulate` batches."""
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


class DensePredictionRecipe(TrainingRecipe):
    """What the recipes of Mask R-CNN and UperNet share: the paper's drop path, one device, models with own losses."""

    several_devices = False

    @classmethod
    def paper(cls, variant):
        """Returns the paper's recipe for a model name; models that the paper did not train keep their drop path."""
        check_choice("variant", variant, tuple(DENSE_PREDICTION_DROP_PATH_RATES))
        return cls(drop_path_rate=DENSE_PREDICTION_DROP_PATH_RATES[variant])

    def compile(self, model, steps_per_epoch, accumulate=1, **kwargs):
        """Compiles a model that has its losses with AdamW; arguments as those of `ClassificationRecipe.compile`."""
        model.compile(self.optimizer(self.schedule(steps_per_epoch, accumulate), accumulate), **kwargs)
