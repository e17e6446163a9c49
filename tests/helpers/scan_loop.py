"""The selective scan as a plain NumPy loop in float64, which stored references are checked against."""

import numpy as np


def scan(x, dt, A, B, C, D):
    """`h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t` and `y_t = C_t h_t + D x_t`, with `h = 0` before the first step.

    `x` and `dt` are `(B, L, C)`, `A` is `(C, N)`, `B` and `C` are `(B, L, N)`, `D` is `(C,)`; returns `(B, L, C)`.
    """
    x, dt, A, B, C, D = (np.asarray(array, "float64") for array in (x, dt, A, B, C, D))
    h = np.zeros((len(x), *A.shape))
    y = np.empty_like(x)
    for t in range(x.shape[1]):
        step = dt[:, t, :, None]
        h = np.exp(step * A) * h + step * B[:, t, None, :] * x[:, t, :, None]
        y[:, t] = (h * C[:, t, None, :]).sum(-1) + D * x[:, t]
    return y


def layer(x, x_proj, dt_proj, dt_bias, A_log, D):
    """The scan of `(B, L, C)` with `dt`, `B` and `C` projected from `x`; rows of weights are outputs, as in PyTorch."""
    rank, states = dt_proj.shape[1], A_log.shape[1]
    dt, B, C = np.split(x @ x_proj.T, [rank, rank + states], axis=-1)
    dt = np.logaddexp(0.0, dt @ dt_proj.T + dt_bias)
    return scan(x, dt, -np.exp(A_log), B, C, D)


def silu(x):
    return x / (1.0 + np.exp(-x))


def as_float64(arrays):
    return {name: np.asarray(array, "float64") for name, array in arrays.items()}


def check(function, inputs, y, g, gradients, tolerance):
    """Compares a result and the gradients of `sum(y * g)` with those of `function(**inputs)`.

    A gradient is compared in a random direction, with a central difference.
    """
    inputs, step = as_float64(inputs), 1e-6
    expected = function(**inputs)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    assert gradients.keys() == inputs.keys()
    for seed, (name, gradient) in enumerate(gradients.items()):
        assert gradient.shape == inputs[name].shape
        direction = np.random.RandomState(seed).standard_normal(gradient.shape)
        ahead, behind = (function(**{**inputs, name: inputs[name] + sign * step * direction}) for sign in (1.0, -1.0))
        difference = ((ahead - behind) * g).sum() / (2 * step)
        terms = gradient.astype("float64") * direction
        np.testing.assert_allclose(terms.sum(), difference, rtol=tolerance, atol=tolerance * np.linalg.norm(terms))
