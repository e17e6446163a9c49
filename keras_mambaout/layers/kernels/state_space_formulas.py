"""Linear recurrences in `keras.ops`: what they compute, and their gradients, which are recurrences too."""

import math

from keras import ops


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


def selective_scan(scan, x, dt, a, b, c):
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`, where every channel has N states.

    `x` and `dt` are `(B, L, C)`, `a` is `(C, N)`, `b` and `c` are `(B, L, N)`, `y` is `(B, L, C)`. All but
    `a` may have further axes after L that run side by side, `a` begins with these. For the backward pass it keeps
    its inputs, and no states, `(B, L, C, N)`: they are computed anew.
    """
    h = scan(*_decays_and_inputs(x, dt, a, b))
    return ops.sum(h * c[..., None, :], axis=-1)


def selective_scan_gradients(scan, x, dt, a, b, c, grad):
    """The gradients of `selective_scan` by all its inputs."""
    decays, inputs = _decays_and_inputs(x, dt, a, b)
    h = scan(decays, inputs)
    c_grad = ops.matmul(grad[..., None, :], h)[..., 0, :]
    inputs_grad = scan(step_before(decays, True), grad[..., None] * c[..., None, :], True)
    b_grad = ops.matmul((dt * x)[..., None, :], inputs_grad)[..., 0, :]
    product_grad = ops.sum(inputs_grad * b[..., None, :], axis=-1)  # by dt * x
    exponents_grad = inputs_grad * step_before(h, False) * decays  # by dt * a
    dt_grad = ops.sum(exponents_grad * a, axis=-1) + product_grad * x
    a_grad = ops.sum(exponents_grad * dt[..., None], axis=(0, 1))
    return product_grad * dt, dt_grad, a_grad, b_grad, c_grad


def _decays_and_inputs(x, dt, a, b):
    return ops.exp(dt[..., None] * a), (dt * x)[..., None] * b[..., None, :]  # (B, L, C, N)
