"""A linear warm-up before any of Keras' learning rate schedules."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay, PolynomialDecay

from keras_mambaout.arguments import check_number, check_positive_integer
from keras_mambaout.serialization import PACKAGE, serializable


@serializable
class Warmup(LearningRateSchedule):
    """A learning rate that rises linearly, and then is that of another schedule.

    `lr(t) = start + (schedule(0) - start) * t / steps` for `t < steps`, then `lr(t) = schedule(t)`, which has counted
    from 0 as well: this is how timm and the paper count. Here `t = step // accumulate`, because Keras' optimizers give
    a schedule the number of batches, not of updates. (Keras' only schedule with a warm-up,
    `CosineDecay(warmup_target=...)`, starts the cosine where the warm-up ends, and counts batches.)

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule` of updates of the weights; the warm-up rises to
            its first learning rate.
        steps: Updates with a rising learning rate, 0 or more.
        start: Learning rate of update 0, if there is a warm-up.
        accumulate: The optimizer's `gradient_accumulation_steps`.
        name: Name of the schedule.

    Raises:
        ValueError: If a number is out of range, or the warm-up is longer than the schedule.

    Example:
    ```python
    cosine = keras.optimizers.schedules.CosineDecay(4e-3, decay_steps=300 * 312, alpha=1e-5 / 4e-3)
    optimizer = AdamW(Warmup(cosine, steps=20 * 312, start=1e-6))
    ```

    Source: `CosineLRScheduler` of [timm](https://github.com/huggingface/pytorch-image-models), with updates instead of
    epochs; [Goyal et al., 2017](https://arxiv.org/abs/1706.02677).
    """

    def __init__(
        self,
        schedule: LearningRateSchedule,
        steps: int = 0,
        start: float = 0.0,
        accumulate: int = 1,
        name: str = "warmup",
    ) -> None:
        super().__init__()
        total = getattr(schedule, "decay_steps", math.inf)
        self.schedule, self.steps = schedule, int(check_number("steps", steps, total))
        self.start = float(check_number("start", start))
        self.accumulate, self.name = check_positive_integer("accumulate", accumulate), name
        self.peak = float(schedule(0))

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step // self.accumulate, "float32")
        rising = self.start + (self.peak - self.start) * step / max(self.steps, 1)
        return ops.where(step < self.steps, rising, self.schedule(step))

    def get_config(self) -> dict:
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "steps": self.steps,
            "start": self.start,
            "accumulate": self.accumulate,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Warmup":
        return cls(**{**config, "schedule": keras.optimizers.schedules.deserialize(config["schedule"])})


def cosine(peak: float, steps: int, end: float) -> CosineDecay:
    """Returns half a cosine from `peak` to `end` in so many updates."""
    return CosineDecay(peak, steps, alpha=end / peak)


def polynomial(peak: float, steps: int, power: float = 1.0, end: float = 0.0) -> PolynomialDecay:
    """Returns a polynomial from `peak` to `end` in so many updates; with the power 1 a straight line."""
    return PolynomialDecay(peak, steps, end, power)


def milestones(peak: float, updates: Sequence[int], factor: float = 0.1) -> PiecewiseConstantDecay:
    """Returns a constant that is multiplied by `factor` at each of these updates."""
    boundaries = [update - 1 for update in sorted(updates)]  # Keras: the last update of a value, not the first
    values = [peak * factor**passed for passed in range(len(boundaries) + 1)]
    return PiecewiseConstantDecay(boundaries, values) if boundaries else PiecewiseConstantDecay([0], [peak, peak])


def _read_as(class_name, make):
    """Lets Keras load what older files call `class_name`: it becomes a `Warmup`."""

    def from_config(cls, config):
        names = {"steps": "warmup_steps", "start": "warmup_start", "accumulate": "accumulate", "name": "name"}
        warmup = {ours: config[theirs] for ours, theirs in names.items()}
        return Warmup(make(config), **warmup)

    old = type(class_name, (Warmup,), {"from_config": classmethod(from_config)})
    keras.saving.register_keras_serializable(PACKAGE, class_name)(old)


_read_as("WarmupCosine", lambda old: cosine(old["peak"], old["total_steps"], old["end"]))
_read_as("WarmupSteps", lambda old: milestones(old["peak"], old["milestones"], old["factor"]))
_read_as("WarmupPolynomial", lambda old: polynomial(old["peak"], old["total_steps"], old["power"], old["end"]))
