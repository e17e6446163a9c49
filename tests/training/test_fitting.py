"""What is left of a model when its training ends before its time."""

import keras
import numpy as np
import pytest
import small_model

from keras_mambaout.training.fitting import whole_after

X, Y = np.ones((8, 4), "float32"), np.zeros((8, 1), "float32")


class Stopped(keras.Model):
    """Raises an error in its first step, in which JAX has its weights."""

    error = None

    def train_step(self, *args):
        if self.error is not None:
            raise self.error
        return super().train_step(*args)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no memory")], ids=repr)
def test_a_model_keeps_its_weights_and_the_reason_is_raised(error):
    inputs = keras.Input((4,))
    model = Stopped(inputs, keras.layers.Dense(1)(inputs))
    model.error = error
    model.compile(keras.optimizers.Adam(), "mse")
    before = small_model.values(model)
    with pytest.raises(type(error), match=str(error) or None), whole_after(model):
        model.fit(X, Y, verbose=0)
    small_model.assert_same(model, before)
    assert all(np.isfinite(variable.numpy()).all() for variable in model.optimizer.variables)
    model.error = None
    model.compile(keras.optimizers.Adam(), "mse")  # as `train` does
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all(), "it can be trained"


def test_what_tensorflow_says_of_an_interrupt_is_one():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd")
    with pytest.raises(KeyboardInterrupt), whole_after(model):
        raise RuntimeError("UnknownError: KeyboardInterrupt: ")
