"""What a test needs from each framework itself: gradients of all trainable weights."""

import keras


def gradients(model, loss_fn, x, y):
    """Returns the loss and `{variable.path: gradient}` of `mean(loss_fn(y, model(x)))` as NumPy."""
    loss, grads = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](
        model, lambda outputs: keras.ops.mean(loss_fn(y, outputs)), x
    )
    to_numpy = keras.ops.convert_to_numpy
    paths = [variable.path for variable in model.trainable_variables]
    grads = [None if g is None else to_numpy(g) for g in grads]
    return float(to_numpy(loss)), dict(zip(paths, grads, strict=True))


def _tensorflow(model, loss_of, x):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = loss_of(model(x, training=True))
    return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])


def _jax(model, loss_of, x):
    import jax

    non_trainable = [variable.value for variable in model.non_trainable_variables]

    def loss_fn(trainable):
        outputs, _ = model.stateless_call(trainable, non_trainable, x, training=True)
        return loss_of(outputs)

    return jax.jit(jax.value_and_grad(loss_fn))([variable.value for variable in model.trainable_variables])


def _torch(model, loss_of, x):
    model.zero_grad()
    loss = loss_of(model(x, training=True))
    loss.backward()
    return loss.detach(), [variable.value.grad for variable in model.trainable_variables]
