"""The learning rate of the paper: a linear warm-up, then a cosine."""

import math

import keras
from keras import ops

from keras_mambaout.layers.common import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
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
        super().__init__()
        if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
            raise ValueError(
                "`total_steps` must be 1 or more, and `warmup_steps` from 0 to `total_steps`, got "
                f"{total_steps} and {warmup_steps}."
            )
        self.peak, self.total_steps, self.warmup_steps = float(peak), int(total_steps), int(warmup_steps)
        self.warmup_start, self.end, self.accumulate, self.name = float(warmup_start), float(end), accumulate, name

    def __call__(self, step):
        step = ops.cast(step // self.accumulate, "float32")
        rising = self.warmup_start + (self.peak - self.warmup_start) * step / max(self.warmup_steps, 1)
        share = ops.minimum(step / self.total_steps, 1.0)
        falling = self.end + (self.peak - self.end) * (1.0 + ops.cos(math.pi * share)) / 2.0
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "warmup_start": self.warmup_start,
            "end": self.end,
            "accumulate": self.accumulate,
            "name": self.name,
        }
