"""AdamW with weight decay on matrices and kernels only."""

import keras

from keras_mambaout.serialization import PACKAGE


def _adamw():
    """Returns Keras' AdamW class; on PyTorch the one that updates all variables in one call."""
    if keras.backend.backend() != "torch":
        return keras.optimizers.AdamW
    with keras.device("cpu"):
        return type(keras.optimizers.AdamW())  # on PyTorch, making AdamW gives this subclass of it


@keras.saving.register_keras_serializable(PACKAGE)
class AdamW(_adamw()):
    """`keras.optimizers.AdamW` that decays weights of two and more dimensions only.

    `w <- w - lr * decay * w - lr * m / (sqrt(v) + epsilon)`, where `m` and `v` are the bias-corrected averages
    of the gradient and its square, and `decay` is 0 for biases, norms and layer scales.
    `exclude_from_weight_decay` of Keras' optimizers does the same, but a saved model forgets it: trained
    further after `load_model` it would decay everything. This class decides anew for each model.

    Args:
        learning_rate, weight_decay, beta_1, beta_2, epsilon, **kwargs: As in `keras.optimizers.AdamW`; only
            `epsilon` has another default, PyTorch's 1e-8.

    Example:
    ```python
    model.compile(AdamW(1e-4, weight_decay=0.05), "sparse_categorical_crossentropy")
    ```

    Source: [Loshchilov and Hutter, Decoupled weight decay regularization](https://arxiv.org/abs/1711.05101).
    """

    def __init__(self, learning_rate=1e-3, weight_decay=0.05, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, **kwargs)

    def build(self, variables):
        self.exclude_from_weight_decay(var_list=undecayed(variables))
        super().build(variables)


def undecayed(variables):
    """Returns the variables without weight decay: those of fewer than two dimensions."""
    return [variable for variable in variables if len(variable.shape) < 2]
