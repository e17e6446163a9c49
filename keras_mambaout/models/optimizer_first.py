"""A faster first train step on TensorFlow."""

import keras


class OptimizerFirst:
    """Goes before `keras.Model`: makes the optimizer's variables before the first train step is traced.

    Keras would make them within it, for which TensorFlow traces the step twice: the first step of
    femto took 22 s instead of 11.
    """

    def make_train_function(self, force=False):
        if keras.backend.backend() == "tensorflow" and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)
