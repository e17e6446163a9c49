"""Linear recurrences as TensorFlow computes them fastest, with their own gradients."""

import functools

import tensorflow as tf

from keras_mambaout.layers.kernels import state_space_formulas as formulas

STEPS = 16  # of a chunk
LEVELS = 2  # of chunks in chunks
LARGE_STEP = 640  # numbers of a state from which going step by step is faster


def linear_scan(a, b, reverse=False):
    """`h_t = a_t h_{t-1} + b_t` over axis 1, or the reverse."""

    @tf.custom_gradient
    def scan(a, b):
        in_chunks = _traced(b.dtype, tuple(b.shape[1:]), reverse)
        h = in_chunks(tf.stop_gradient(a), tf.stop_gradient(b))
        return h, lambda grad: formulas.linear_scan_gradients(linear_scan, a, h, grad, reverse)

    return scan(a, b)


@functools.cache
def _traced(dtype, shape, reverse):
    """Returns the function for sequences of a shape, without the batch: traced once, as a network has many of them."""
    levels = sum(shape[0] is None or shape[0] > STEPS**level for level in range(1, LEVELS + 1))
    values = tf.TensorSpec((None, *shape), dtype)
    scan = functools.partial(_in_chunks, reverse=reverse, levels=levels)
    return tf.function(scan, (values, values), autograph=False)


def _in_chunks(a, b, reverse, levels):
    """16 steps, one after the other, of all chunks of 16 at once say where each chunk ends; where each begins is the
    same question about a sequence that is 16 times shorter; and 16 steps more have all states. The shortest is a loop.
    """
    if levels == 0:
        return _loop(a, b, reverse)
    shape, length = tf.shape(a), tf.shape(a)[1]
    fits = a.shape[1] is not None and a.shape[1] % STEPS == 0
    if not fits:
        fill = tf.pad(tf.reshape(-length % STEPS, (1, 1)), [[1, len(a.shape) - 2], [1, 0]])
        a, b = tf.pad(a, fill), tf.pad(b, fill)
    chunked = tf.concat([shape[:1], [-1, STEPS], shape[2:]], axis=0)
    a, b = (tf.unstack(tf.reshape(values, chunked), STEPS, axis=2) for values in (a, b))
    order = range(STEPS)[::-1] if reverse else range(STEPS)

    product, state = a[order[0]], b[order[0]]
    for t in order[1:]:
        product, state = product * a[t], state * a[t] + b[t]
    state = formulas.step_before(_in_chunks(product, state, reverse, levels - 1), reverse)
    h = [None] * STEPS
    for t in order:
        h[t] = state = a[t] * state + b[t]
    h = tf.reshape(tf.stack(h, axis=2), tf.concat([shape[:1], [-1], shape[2:]], axis=0))
    return tf.ensure_shape(h if fits else h[:, :length], (None, None, *state.shape[2:]))


def _loop(a, b, reverse):
    length = tf.shape(a)[1]

    def step(t, state, states):
        place = length - 1 - t if reverse else t
        state = a[:, place] * state + b[:, place]
        return t + 1, state, states.write(place, state)

    states = tf.TensorArray(a.dtype, length)
    _, _, states = tf.while_loop(
        lambda t, *_: t < length, step, (0, tf.zeros_like(b[:, 0]), states), parallel_iterations=1
    )
    states = states.stack()  # (L, B, ...)
    return tf.transpose(states, [1, 0, *range(2, len(a.shape))])


@tf.custom_gradient
def selective_scan(x, dt, a, b, c):
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`; it keeps inputs and every 64th state at most."""
    if formulas.step_size(x, a) >= LARGE_STEP and not tf.config.list_logical_devices("GPU"):
        inputs = [tf.stop_gradient(values) for values in (x, dt, a, b, c)]  # or a tape would follow the loops too
        y, starts = _by_steps(*inputs)
        return y, lambda grad: _by_steps_gradients(*inputs, starts, tf.stop_gradient(grad))

    def gradients(grad):
        with tf.control_dependencies([grad]):  # or the graph's optimizer would keep what was computed forward
            inputs = [tf.identity(values) for values in (x, dt, a, b, c)]
        return formulas.selective_scan_gradients(linear_scan, *inputs, grad)

    return formulas.selective_scan(linear_scan, x, dt, a, b, c), gradients


@tf.function(jit_compile=True, autograph=False)
def _by_steps(*inputs):
    """XLA makes one loop of the steps, in which TensorFlow itself would run operation after operation."""
    return formulas.selective_scan_by_steps(_loop_over_inputs, *inputs)


@tf.function(jit_compile=True, autograph=False)
def _by_steps_gradients(*inputs):
    return formulas.selective_scan_by_steps_gradients(_loop_over_inputs, *inputs)


def _loop_over_inputs(step, state, inputs, reverse=False):
    """`jax.lax.scan`."""
    length = tf.shape(inputs[0])[0]
    traced = tf.function(step, autograph=False).get_concrete_function(state, [values[0] for values in inputs])
    outputs = tf.nest.map_structure(
        lambda spec: tf.TensorArray(spec.dtype, length, element_shape=spec.shape), traced.structured_outputs[1]
    )

    def body(t, state, outputs):
        place = length - 1 - t if reverse else t
        state, new = step(state, [values[place] for values in inputs])
        return t + 1, state, tf.nest.map_structure(lambda array, value: array.write(place, value), outputs, new)

    _, state, outputs = tf.while_loop(lambda t, *_: t < length, body, (0, state, outputs), maximum_iterations=length)
    return state, tf.nest.map_structure(lambda array: array.stack(), outputs)
