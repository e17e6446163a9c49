"""Linear recurrences in `keras.ops`: what they compute, and their gradients, which are recurrences too.

A selective scan has two forms. One computes the coefficients and states of all steps, arrays of `(B, L, C, N)`, by a
`linear_scan`: few and large operations, the better form for a GPU and for few states. The other goes step by step:
each state is used and forgotten, and no such array is ever made.
"""

import math

from keras import ops

BLOCK_STEPS = 64


def linear_scan(a, b, reverse=False):
    """`h_t = a_t h_{t-1} + b_t` over axis 1 of `(B, L, ...)`, from `h_0 = b_0`; in reverse `h_t = a_t h_{t+1} + b_t`.

    For the backward pass it keeps `a` and `h`, and nothing that is computed on the way.
    """

    def join(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    return ops.associative_scan(join, (a, b), reverse=reverse, axis=1)[1]


def linear_scan_gradients(scan, a, h, grad, reverse):
    """The gradients of `linear_scan`: by `b` it is `d_t = grad_t + a_{t+1} d_{t+1}`, by `a` it is `d_t h_{t-1}`."""
    b_grad = scan(step_before(a, not reverse), grad, not reverse)
    return b_grad * step_before(h, reverse), b_grad


def step_before(x, reverse):
    """Returns at each step the value of the one before it in the recurrence, and 0 at the first."""
    others = ((0, 0),) * (len(x.shape) - 2)
    return ops.pad(x[:, 1:] if reverse else x[:, :-1], ((0, 0), (0, 1) if reverse else (1, 0), *others))


def chunk_sizes(length):
    """Returns how many steps a chunk of a sequence has, and how many chunks there are: about `sqrt(length)` each."""
    steps = math.isqrt(max(length - 1, 0)) + 1
    return steps, -(-length // steps)


def step_size(x, a):
    """Returns how many numbers a state has, of all sequences; of one, where it is not known how many there are."""
    return math.prod(axis or 1 for axis in (x.shape[0], *a.shape))


def selective_scan(linear_scan, x, dt, a, b, c):
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`, where every channel has N states.

    `x` and `dt` are `(B, L, C)`, `a` is `(C, N)`, `b` and `c` are `(B, L, N)`, `y` is `(B, L, C)`. All but
    `a` may have further axes after L that run side by side, `a` begins with these. For the backward pass it keeps
    its inputs, and no states, `(B, L, C, N)`: they are computed anew.
    """
    h = linear_scan(*_decays_and_inputs(x, dt, a, b))
    return ops.sum(h * c[..., None, :], axis=-1)


def selective_scan_gradients(linear_scan, x, dt, a, b, c, grad):
    """The gradients of `selective_scan` by all its inputs."""
    decays, inputs = _decays_and_inputs(x, dt, a, b)
    h = linear_scan(decays, inputs)
    c_grad = ops.matmul(grad[..., None, :], h)[..., 0, :]
    inputs_grad = linear_scan(step_before(decays, True), grad[..., None] * c[..., None, :], True)
    b_grad = ops.matmul((dt * x)[..., None, :], inputs_grad)[..., 0, :]
    product_grad = ops.sum(inputs_grad * b[..., None, :], axis=-1)  # by dt * x
    exponents_grad = inputs_grad * step_before(h, False) * decays  # by dt * a
    dt_grad = ops.sum(exponents_grad * a, axis=-1) + product_grad * x
    a_grad = ops.sum(exponents_grad * dt[..., None], axis=(0, 1))
    return product_grad * dt, dt_grad, a_grad, b_grad, c_grad


def _decays_and_inputs(x, dt, a, b):
    return ops.exp(dt[..., None] * a), (dt * x)[..., None] * b[..., None, :]  # (B, L, C, N)


def selective_scan_by_steps(loop, x, dt, a, b, c):
    """Returns `y` of `selective_scan`, and the state before each block of 64 steps, kept for the backward pass.

    `loop(step, state, inputs, reverse)` is `jax.lax.scan`: `step(state, inputs[t])` returns the next state and an
    output, all outputs are stacked.
    """
    a = ops.swapaxes(a, -1, -2)  # (N, C), and so are the states: it is the channels that are computed at once

    def step(h, inputs):
        x, dt, b, c = inputs
        h = ops.exp(_each_state(dt) * a) * h + _each_state(dt * x) * b[..., None]
        return h, ops.sum(h * c[..., None], axis=-2)

    def block(h, inputs):
        end, y = loop(step, h, inputs)
        return end, (y, h)

    _, (y, starts) = loop(block, _zero_states(x, a), [_in_blocks(values) for values in (x, dt, b, c)])
    return _joined(y, x), starts


def selective_scan_by_steps_gradients(loop, x, dt, a, b, c, starts, grad):
    """The gradients of `selective_scan_by_steps`: the states of one block are computed anew and kept, at a time."""
    a = ops.swapaxes(a, -1, -2)

    def forward(h, inputs):
        x, dt, b = inputs
        kept = ops.exp(_each_state(dt) * a) * h
        return kept + _each_state(dt * x) * b[..., None], kept

    def backward(sums, inputs):
        next_grad, a_grad = sums
        x, dt, b, c, grad, kept = inputs
        h = kept + _each_state(dt * x) * b[..., None]
        h_grad = _each_state(grad) * c[..., None] + next_grad
        c_grad = ops.matmul(h, grad[..., None])[..., 0]
        b_grad = ops.matmul(h_grad, (dt * x)[..., None])[..., 0]
        product_grad = ops.sum(h_grad * b[..., None], axis=-2)  # by dt * x
        exponents_grad = h_grad * kept  # by dt * a
        dt_grad = ops.sum(exponents_grad * a, axis=-2) + product_grad * x
        sums = ops.exp(_each_state(dt) * a) * h_grad, a_grad + exponents_grad * _each_state(dt)
        return sums, (product_grad * dt, dt_grad, b_grad, c_grad)

    def block(sums, inputs):
        *inputs, start = inputs
        x, dt, b, *_ = inputs
        _, kept = loop(forward, start, (x, dt, b))
        return loop(backward, sums, (*inputs, kept), reverse=True)

    sums = _zero_states(x, a), _zero_states(x, a)
    inputs = [*(_in_blocks(values) for values in (x, dt, b, c, grad)), starts]
    (_, a_grad), grads = loop(block, sums, inputs, reverse=True)
    x_grad, dt_grad, b_grad, c_grad = (_joined(values, x) for values in grads)
    return x_grad, dt_grad, ops.swapaxes(ops.sum(a_grad, axis=0), -1, -2), b_grad, c_grad


def _each_state(values):
    return values[..., None, :]


def _zero_states(x, a):
    return ops.zeros((ops.shape(x)[0], *a.shape), x.dtype)


def _in_blocks(values):
    """`(B, L, ...)` -> `(blocks, 64, B, ...)`; steps of zeros at the end change nothing: they decay by 1 and add 0."""
    length = ops.shape(values)[1]
    values = ops.pad(values, ((0, 0), (0, -length % BLOCK_STEPS), *((0, 0),) * (len(values.shape) - 2)))
    values = ops.moveaxis(values, 1, 0)
    return ops.reshape(values, (-1, BLOCK_STEPS, *ops.shape(values)[1:]))


def _joined(values, x):
    """`(blocks, 64, B, ...)` -> `(B, L, ...)`."""
    values = ops.reshape(values, (-1, *ops.shape(values)[2:]))
    return ops.moveaxis(values, 0, 1)[:, : ops.shape(x)[1]]
