"""Linear recurrences as PyTorch computes them fastest, with their own gradients."""

import itertools

import torch
from torch.nn import functional

from keras_mambaout.layers.kernels import state_space_formulas as formulas

LARGE_STEP = 1024  # numbers of a state from which going step by step is faster


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
    """`h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t` and `y_t = c_t h_t`; it keeps inputs and every 64th state at most."""
    if x.device.type == "cpu" and formulas.step_size(x, a) >= LARGE_STEP:
        return _SelectiveScanInBlocks.apply(x, dt, a, b, c)[0]
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


class _SelectiveScanInBlocks(torch.autograd.Function):
    """`formulas.selective_scan_by_steps`, but all of a step that is no recurrence is computed for a block at once:
    a call of PyTorch takes as long as the numbers of a step.
    """

    @staticmethod
    def forward(x, dt, a, b, c):
        a = a.mT.contiguous()  # (N, C)
        h = a.new_zeros(x.shape[0], *a.shape)
        block, y, starts = _Block(h), torch.empty_like(x), []
        for y_block, c_block, *inputs in zip(*map(_blocks, (y, c, x, dt, b)), strict=True):
            starts.append(h)
            states = block.compute_states(h, a, *inputs)[1][1:]
            y_block.copy_((c_block[..., None, :] @ states)[..., 0, :])
            h = states[-1].clone()
        return y, torch.stack(starts)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad, _):
        x, dt, a, b, c, starts = ctx.saved_tensors
        a = a.mT.contiguous()
        grads = [torch.empty_like(values) for values in (x, dt, b, c)]
        a_grad, next_grad = torch.zeros_like(starts[0]), torch.zeros_like(starts[0])
        block, h_grads = _Block(next_grad), _Steps(formulas.BLOCK_STEPS, next_grad)
        parts = list(zip(*map(_blocks, (x, dt, b, c, grad, *grads)), starts, strict=True))
        for x, dt, b, c, grad, x_grad, dt_grad, b_grad, c_grad, start in reversed(parts):
            decays, h = block.compute_states(start, a, x, dt, b)
            h_grad = torch.mul(grad[..., None, :], c[..., None], out=h_grads.all[: len(x)])
            last = h_grads.each[len(x) - 1].add_(next_grad)
            others = zip(h_grads.each[: len(x) - 1], block.decays.each[1 : len(x)], strict=True)
            for own, decay in reversed(list(others)):
                last = own.addcmul_(decay, last)
            next_grad = last * decays[0]
            c_grad.copy_(block.product(h[1:], grad[..., None, :]).sum(-1))
            b_grad.copy_(block.product(h_grad, (dt * x)[..., None, :]).sum(-1))
            product_grad = (b[..., None, :] @ h_grad)[..., 0, :]  # by dt * x
            exponents_grad = decays.mul_(h[:-1]).mul_(h_grad)  # by dt * a
            torch.mul(product_grad, dt, out=x_grad)
            dt_grad.copy_(block.product(exponents_grad, a).sum(-2) + product_grad * x)
            a_grad += block.product(exponents_grad, dt[..., None, :]).sum(0)
        x_grad, dt_grad, b_grad, c_grad = grads
        return x_grad, dt_grad, a_grad.sum(0).mT, b_grad, c_grad


def _blocks(values):
    """`(B, L, ...)` -> views of 64 steps, `(64, B, ...)`; the last may be shorter."""
    return values.movedim(1, 0).split(formulas.BLOCK_STEPS)


class _Steps:
    """Memory for a value of each step of a block, and its parts, made once as making them takes time too."""

    def __init__(self, steps, like):
        self.all = like.new_empty(steps, *like.shape)
        self.each = self.all.unbind()


class _Block:
    """Computes decays and states of one block after the other, in the same memory."""

    def __init__(self, start):
        self.decays, self.states = _Steps(formulas.BLOCK_STEPS, start), _Steps(formulas.BLOCK_STEPS + 1, start)
        self.products = torch.empty_like(self.decays.all)

    def compute_states(self, start, a, x, dt, b):
        """Returns `exp(dt_t a)` of all steps, and `h`, which begins with the state before them."""
        decays, h = self.decays.all[: len(x)], self.states.all[: len(x) + 1]
        torch.mul(dt[..., None, :], a, out=decays).exp_()
        torch.mul((dt * x)[..., None, :], b[..., None], out=h[1:])
        last = self.states.each[0].copy_(start)
        for inputs, decay in zip(self.states.each[1 : len(x) + 1], self.decays.each, strict=False):
            last = inputs.addcmul_(decay, last)
        return decays, h

    def product(self, a, b):
        return torch.mul(a, b, out=self.products[: len(a)])
