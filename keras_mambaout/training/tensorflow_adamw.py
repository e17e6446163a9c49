"""AdamW on TensorFlow, with few operations for each weight: Keras' own has more than twenty, all to be traced."""

import keras
import tensorflow as tf


class FusedAdamW(keras.optimizers.AdamW):
    """Keras' AdamW, computed by TensorFlow's fused kernel where that can: same variables, same numbers up to rounding.

    What all weights have in common is computed once a step, and reaches `update_step` with the learning rate.
    """

    def _apply_weight_decay(self, variables):
        """Left to `update_step`."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        step = tf.cast(self.iterations + 1, "float32")
        learning_rate = keras.ops.convert_to_tensor(learning_rate, "float32")
        common = (learning_rate, self.beta_1**step, self.beta_2**step, learning_rate * self.weight_decay)
        super()._backend_update_step(grads, trainable_variables, common)

    def update_step(self, gradient, variable, learning_rate):
        learning_rate, beta_1_power, beta_2_power, decay = learning_rate
        if self.weight_decay and self._use_weight_decay(variable):
            variable.assign_sub(variable * tf.cast(decay, variable.dtype))
        if self.amsgrad or variable.dtype != tf.float32 or not tf.is_tensor(gradient):  # but `tf.IndexedSlices`
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, "float32"),
        )
