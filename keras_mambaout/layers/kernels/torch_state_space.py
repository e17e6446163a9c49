"""Linear recurrences as PyTorch computes them fastest, with their own gradients."""

import itertools

import torch
from torch.nn import functional

from keras_mambaout.layers.kernels import state_space_formulas as formulas


def linear_scan(a, b, reverse=False):
    """`h_t = a_t h_{t-1} + b_t` over axis 1, or the reverse."""
    return _LinearScan.apply(a, b, reverse)


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(a, b, reverse):
        return _in_chunks(a, b, reverse)

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, _, ctx.reverse = inputs
        ctx.save_for_backward(a, output)

    @staticmethod
    def backward(ctx, grad):
        return *formulas.linear_scan_gradients(linear_scan, *ctx.saved_tensors, grad, ctx.reverse), None


def _in_chunks(a, b, reverse):
    """A loop over the steps of all chunks of `sqrt(L)` at once finds where each of them ends, a second one over the
    chunks where each begins, and a third one has all states.
    """
    batch, length, *rest = a.shape
    steps, chunks = formulas.chunk_sizes(length)
    missing = steps * chunks - length
    if missing:
        fill = [0, 0] * len(rest) + [0, missing]
        a, b = functional.pad(a, fill), functional.pad(b, fill)
    a, b = (values.reshape(batch, chunks, steps, *rest) for values in (a, b))
    order = range(steps)[::-1] if reverse else range(steps)
    chunk_order = range(chunks)[::-1] if reverse else range(chunks)

    product, state = torch.ones_like(b[:, :, 0]), torch.zeros_like(b[:, :, 0])
    for t in order:
        state = torch.addcmul(b[:, :, t], a[:, :, t], state)
        product *= a[:, :, t]
    starts = torch.zeros_like(state)
    for previous, k in itertools.pairwise(chunk_order):
        torch.addcmul(state[:, previous], product[:, previous], starts[:, previous], out=starts[:, k])
    h, state = torch.empty_like(b), starts
    for t in order:
        state = torch.addcmul(b[:, :, t], a[:, :, t], state, out=h[:, :, t])
    return h.reshape(batch, steps * chunks, *rest)[:, :length]


def selective_scan(x, dt, a, b, c):
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`, which keeps its inputs only."""
    return _SelectiveScan.apply(x, dt, a, b, c)


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(*inputs):
        return formulas.selective_scan(linear_scan, *inputs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return formulas.selective_scan_gradients(linear_scan, *ctx.saved_tensors, grad)
