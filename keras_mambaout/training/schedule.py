"""The learning rates of the paper: a linear warm-up, then a cosine, steps or a polynomial."""

import math

import keras
from keras import ops

from keras_mambaout.serialization import PACKAGE


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly from `warmup_start` to `peak`, and then is `after_warmup(step)`."""

    def __init__(self, peak, warmup_steps, warmup_start, accumulate, name):
        super().__init__()
        self.peak, self.warmup_steps, self.warmup_start = float(peak), int(warmup_steps), float(warmup_start)
        self.accumulate, self.name = accumulate, name

    def __call__(self, step):
        step = ops.cast(step // self.accumulate, "float32")
        rising = self.warmup_start + (self.peak - self.warmup_start) * step / max(self.warmup_steps, 1)
        return ops.where(step < self.warmup_steps, rising, self.after_warmup(step))

    def get_config(self):
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "warmup_start": self.warmup_start,
            "accumulate": self.accumulate,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class WarmupCosine(Warmup):
    """A linear warm-up, then half a cosine whose start is step 0, as timm counts it.

    `lr(t) = warmup_start + (peak - warmup_start) * t / warmup_steps` for `t < warmup_steps`, then
    `lr(t) = end + (peak - end) * (1 + cos(pi * t / total_steps)) / 2`, and `end` from `total_steps` on. Here
    `t = step // accumulate`, for Keras' optimizers give a schedule the number of batches, not of updates.
    (`keras.optimizers.schedules.CosineDecay` counts the cosine from the end of the warm-up.)

    Args:
        peak: Highest learning rate.
        total_steps: Updates of the weights until `end` is reached.
        warmup_steps: Updates with a rising learning rate, 0 or more.
        warmup_start: Learning rate of update 0, if there is a warm-up.
        end: Last learning rate.
        accumulate: The optimizer's `gradient_accumulation_steps`.

    Raises:
        ValueError: If there are fewer steps than 1, or more of warm-up than in total.

    Example:
    ```python
    optimizer = AdamW(WarmupCosine(4e-3, total_steps=300 * 312, warmup_steps=20 * 312))
    ```

    Source: `CosineLRScheduler` of [timm](https://github.com/huggingface/pytorch-image-models), with updates
    instead of epochs; [Loshchilov and Hutter, SGDR](https://arxiv.org/abs/1608.03983).
    """

    def __init__(
        self, peak, total_steps, warmup_steps=0, warmup_start=1e-6, end=1e-5, accumulate=1, name="warmup_cosine"
    ):
        _check_steps(total_steps, warmup_steps)
        super().__init__(peak, warmup_steps, warmup_start, accumulate, name)
        self.total_steps, self.end = int(total_steps), float(end)

    def after_warmup(self, step):
        share = ops.minimum(step / self.total_steps, 1.0)
        return self.end + (self.peak - self.end) * (1.0 + ops.cos(math.pi * share)) / 2.0

    def get_config(self):
        return {**super().get_config(), "total_steps": self.total_steps, "end": self.end}


@keras.saving.register_keras_serializable(PACKAGE)
class WarmupSteps(Warmup):
    """A linear warm-up, then a constant that is multiplied by a factor at each milestone.

    `lr(t) = warmup_start + (peak - warmup_start) * t / warmup_steps` for `t < warmup_steps`, then
    `lr(t) = peak * factor ** (number of milestones <= t)`, with `t` as in `WarmupCosine`.

    Args:
        peak: Highest learning rate.
        milestones: Updates of the weights at which the learning rate falls.
        factor: What it is multiplied by.
        warmup_steps: See `WarmupCosine`, and the next two too.
        warmup_start: Learning rate of update 0, if there is a warm-up.
        accumulate: The optimizer's `gradient_accumulation_steps`.

    Example:
    ```python
    optimizer = AdamW(WarmupSteps(1e-4, milestones=[8 * 7330, 11 * 7330], warmup_steps=1000))
    ```

    Source: [Detectron's schedules](https://github.com/facebookresearch/Detectron/blob/main/MODEL_ZOO.md), "1x"
    """

    def __init__(
        self, peak, milestones, factor=0.1, warmup_steps=0, warmup_start=1e-7, accumulate=1, name="warmup_steps"
    ):
        super().__init__(peak, warmup_steps, warmup_start, accumulate, name)
        self.milestones, self.factor = [int(milestone) for milestone in milestones], float(factor)

    def after_warmup(self, step):
        passed = sum(ops.cast(step >= milestone, "float32") for milestone in self.milestones)
        return self.peak * self.factor**passed

    def get_config(self):
        return {**super().get_config(), "milestones": self.milestones, "factor": self.factor}


@keras.saving.register_keras_serializable(PACKAGE)
class WarmupPolynomial(Warmup):
    """A linear warm-up, then a polynomial whose start is step 0.

    `lr(t) = warmup_start + (peak - warmup_start) * t / warmup_steps` for `t < warmup_steps`, then
    `lr(t) = end + (peak - end) * (1 - t / total_steps) ** power`, and `end` from `total_steps` on, with `t` as in
    `WarmupCosine`. (mmcv's warm-up rises to the polynomial instead of `peak`: 1 % less at the end of 1500 of 160,000.)

    Args:
        peak: Highest learning rate.
        total_steps: Updates of the weights until `end` is reached.
        power: 1 is a straight line.
        warmup_steps: See `WarmupCosine`, and the next four too.
        warmup_start: Learning rate of update 0, if there is a warm-up.
        end: Last learning rate.
        accumulate: The optimizer's `gradient_accumulation_steps`.

    Raises:
        ValueError: If there are fewer steps than 1, or more of warm-up than in total.

    Example:
    ```python
    optimizer = AdamW(WarmupPolynomial(1e-4, total_steps=160_000, warmup_steps=1500))
    ```

    Source: the "poly" schedule of [mmcv](https://github.com/open-mmlab/mmcv)
    """

    def __init__(
        self,
        peak,
        total_steps,
        power=1.0,
        warmup_steps=0,
        warmup_start=1e-10,
        end=0.0,
        accumulate=1,
        name="warmup_polynomial",
    ):
        _check_steps(total_steps, warmup_steps)
        super().__init__(peak, warmup_steps, warmup_start, accumulate, name)
        self.total_steps, self.power, self.end = int(total_steps), float(power), float(end)

    def after_warmup(self, step):
        left = ops.maximum(self.total_steps - step, 0.0) / self.total_steps
        return self.end + (self.peak - self.end) * left**self.power

    def get_config(self):
        return {**super().get_config(), "total_steps": self.total_steps, "power": self.power, "end": self.end}


def _check_steps(total_steps, warmup_steps):
    if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
        raise ValueError(
            "`total_steps` must be 1 or more, and `warmup_steps` from 0 to `total_steps`, got "
            f"{total_steps} and {warmup_steps}."
        )
