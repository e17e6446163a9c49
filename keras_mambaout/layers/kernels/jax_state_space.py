"""Linear recurrences as JAX computes them fastest on a CPU, with their own gradients."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from keras_mambaout.layers.kernels import state_space_formulas as formulas

LARGE_STEP = 256  # numbers of a state from which going step by step is faster


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear_scan(a, b, reverse=False):
    """`h_t = a_t h_{t-1} + b_t` over axis 1, or the reverse.

    On a CPU in chunks of `sqrt(L)` steps: a loop over the steps of all chunks at once finds where each of them ends, a
    second one over the chunks where each begins, and a third one has all states.
    """
    in_chunks, in_tree = (functools.partial(form, reverse=reverse) for form in (_in_chunks, formulas.linear_scan))
    return lax.platform_dependent(a, b, cpu=in_chunks, default=in_tree)


def _in_chunks(a, b, reverse):
    batch, length, *rest = a.shape
    steps, chunks = formulas.chunk_sizes(length)
    fill = ((0, 0), (0, steps * chunks - length), *[(0, 0)] * len(rest))
    a, b = (jnp.pad(values, fill).reshape(batch, chunks, steps, *rest) for values in (a, b))

    def step(t, state):
        place = steps - 1 - t if reverse else t
        a_t, b_t = (lax.dynamic_index_in_dim(values, place, axis=2, keepdims=False) for values in (a, b))
        return place, a_t, a_t * state + b_t

    def end(t, carry):
        product, state = carry
        _, a_t, state = step(t, state)
        return product * a_t, state

    def start(state, chunk):
        product, last = chunk
        return product * state + last, state

    def all_states(t, carry):
        h, state = carry
        place, _, state = step(t, state)
        return lax.dynamic_update_index_in_dim(h, state, place, axis=2), state

    zeros = jnp.zeros_like(b[:, :, 0])
    ends = lax.fori_loop(0, steps, end, (jnp.ones_like(zeros), zeros))
    ends = tuple(jnp.moveaxis(values, 1, 0) for values in ends)  # (chunks, B, ...)
    _, starts = lax.scan(start, zeros[:, 0], ends, reverse=reverse)
    h, _ = lax.fori_loop(0, steps, all_states, (jnp.zeros_like(b), jnp.moveaxis(starts, 0, 1)))
    return h.reshape(batch, steps * chunks, *rest)[:, :length]


def _linear_scan_forward(a, b, reverse):
    h = linear_scan(a, b, reverse)
    return h, (a, h)


def _linear_scan_backward(reverse, residuals, grad):
    return formulas.linear_scan_gradients(linear_scan, *residuals, grad, reverse)


linear_scan.defvjp(_linear_scan_forward, _linear_scan_backward)


@jax.custom_vjp
def selective_scan(x, dt, a, b, c):
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`; it keeps inputs and every 64th state at most."""
    return _selective_scan_forward(x, dt, a, b, c)[0]


def _selective_scan_forward(x, dt, a, b, c):
    inputs = x, dt, a, b, c
    if _by_steps(x, a):
        y, starts = formulas.selective_scan_by_steps(lax.scan, *inputs)
        return y, (*inputs, starts)
    return formulas.selective_scan(linear_scan, *inputs), inputs


def _selective_scan_backward(inputs, grad):
    if _by_steps(inputs[0], inputs[2]):
        return formulas.selective_scan_by_steps_gradients(lax.scan, *inputs, grad)
    # The barrier keeps XLA from keeping what was computed forward.
    return formulas.selective_scan_gradients(linear_scan, *lax.optimization_barrier((*inputs, grad)))


def _by_steps(x, a):
    return jax.default_backend() == "cpu" and formulas.step_size(x, a) >= LARGE_STEP


selective_scan.defvjp(_selective_scan_forward, _selective_scan_backward)
