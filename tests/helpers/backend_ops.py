"""The gradients of all trainable weights, on every backend."""

import keras

from keras_mambaout.compare.frameworks import value_and_gradients


def gradients(model, loss_fn, x, y):
    """Returns the loss and `{variable.path: gradient}` of `mean(loss_fn(y, model(x)))` as NumPy."""
    return value_and_gradients(model, x, lambda outputs: keras.ops.mean(loss_fn(y, outputs)))
