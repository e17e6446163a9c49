"""The gradients of all trainable weights, on every backend."""

import keras

from keras_mambaout.compare.frameworks import value_and_gradients


def gradients(model, loss_fn, x, y):
    """Returns the loss and `{variable.path: gradient}` of `mean(loss_fn(y, model(x)))` as NumPy."""
    return value_and_gradients(model, x, lambda outputs: keras.ops.mean(loss_fn(y, outputs)))


def outputs_and_gradients(function, arrays, factors):
    """Returns `function(*arrays)` and the gradients of `sum(factors * function(*arrays))` by the arrays, as NumPy."""
    backend = keras.backend.backend()
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    factors = keras.ops.convert_to_tensor(factors)
    if backend == "torch":
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        outputs = function(*tensors)
        (outputs * factors).sum().backward()
        grads = [tensor.grad for tensor in tensors]
    elif backend == "jax":
        import jax

        outputs, pull_back = jax.vjp(jax.jit(function), *tensors)
        grads = pull_back(factors)
    else:
        import tensorflow as tf

        @tf.function
        def compute(tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                outputs = function(*tensors)
                total = tf.reduce_sum(outputs * factors)
            return outputs, tape.gradient(total, tensors)

        outputs, grads = compute(tensors)
    return keras.ops.convert_to_numpy(outputs), [keras.ops.convert_to_numpy(grad) for grad in grads]
