"""AdamW with weight decay on matrices and kernels only."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_mambaout.serialization import serializable

if keras.backend.backend() == "torch":
    from keras_mambaout.training.torch_adamw import FusedAdamW as _AdamW
elif keras.backend.backend() == "tensorflow":
    from keras_mambaout.training.tensorflow_adamw import FusedAdamW as _AdamW
else:
    _AdamW = keras.optimizers.AdamW


@serializable
class AdamW(_AdamW):
    """`keras.optimizers.AdamW` that decays weights of two and more dimensions only.

    `w <- w - lr * decay * w - lr * m / (sqrt(v) + epsilon)`, where `m` and `v` are the bias-corrected averages
    of the gradient and its square, and `decay` is 0 for biases, norms, layer scales and `A_log` of a `SelectiveSSM`.
    `exclude_from_weight_decay` of Keras' optimizers does the same, but it is not saved with the model: trained
    further after `load_model`, everything would decay. This class decides anew for each model.

    Args:
        learning_rate: As in `keras.optimizers.AdamW`, and so are the next three: a number or a schedule.
        weight_decay: See above.
        beta_1: See above.
        beta_2: See above.
        epsilon: PyTorch's default 1e-8, not Keras' 1e-7.
        **kwargs: Further arguments of `keras.optimizers.AdamW`.

    Example:
    ```python
    model.compile(AdamW(1e-4, weight_decay=0.05), "sparse_categorical_crossentropy")
    ```

    Source: [Loshchilov and Hutter, Decoupled weight decay regularization](https://arxiv.org/abs/1711.05101).
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.05,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, **kwargs)

    def build(self, variables: list[keras.Variable]) -> None:
        self.exclude_from_weight_decay(var_list=undecayed(variables))
        super().build(variables)


def undecayed(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """Returns the variables without weight decay: those of fewer than two dimensions, and `A_log` of `SelectiveSSM`."""
    return [variable for variable in variables if len(variable.shape) < 2 or variable.name == "A_log"]
