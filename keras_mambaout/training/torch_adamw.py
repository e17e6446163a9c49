"""AdamW on PyTorch, with each weight read and written once: Keras' own goes over all of them eleven times."""

import keras
import torch
from torch.optim.adam import adam

with keras.device("cpu"):
    KerasAdamW = type(keras.optimizers.AdamW())  # of PyTorch's class only the instances are public

DEVICES, DTYPES = ("cpu", "cuda"), (torch.float32, torch.float64)


class FusedAdamW(KerasAdamW):
    """Keras' AdamW, computed by PyTorch's fused kernel where that can: same variables, same numbers up to rounding."""

    def _apply_weight_decay(self, variables):
        decayed = [variable.value for variable in variables if self._use_weight_decay(variable)]
        if decayed:
            with torch.no_grad():
                torch._foreach_mul_(decayed, 1.0 - self.weight_decay * keras.ops.convert_to_tensor(self.learning_rate))

    def _parallel_update_step(self, grads, variables, learning_rate):
        weights = [variable.value for variable in variables]
        indices = [self._get_variable_index(variable) for variable in variables]
        momentums, velocities = (
            [states[index].value for index in indices] for states in (self._momentums, self._velocities)
        )
        if self.amsgrad or not all(map(_is_plain, (*weights, *grads, *momentums, *velocities))):
            return super()._parallel_update_step(grads, variables, learning_rate)
        step = keras.ops.convert_to_tensor(self.iterations) + 1
        rate = learning_rate * torch.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        # The kernel's own correction of the bias changes epsilon, which Keras' does not; after infinite steps it is 1.
        steps = [torch.full((), torch.inf, device=weight.device) for weight in weights]
        adam(
            weights,
            list(grads),
            momentums,
            velocities,
            max_exp_avg_sqs=[],
            state_steps=steps,
            fused=True,
            amsgrad=False,
            beta1=self.beta_1,
            beta2=self.beta_2,
            lr=rate,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
        )


def _is_plain(tensor):
    """Whether the kernel takes it; it goes over the memory of its arrays side by side."""
    return tensor.is_contiguous() and tensor.device.type in DEVICES and tensor.dtype in DTYPES
