"""The kernels that PyTorch computes faster than `keras.ops` asks it to."""

import torch
from torch.nn import functional

from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv
from keras_mambaout.layers.kernels.keras_kernels import one_table


def dense(x, kernel, bias):
    """`x @ kernel + bias` over the last axis: one fused call instead of a product and a sum."""
    return functional.linear(x, kernel.T, bias)


def gated_matmul(x, gate, kernel, activation):
    """`(activation(gate) * x) @ kernel`, which keeps its inputs only."""
    return _GatedMatmul.apply(x, gate, kernel, activation)


class _GatedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(x, gate, kernel, activation):
        return (activation(gate) * x) @ kernel

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.activation = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad):
        x, gate, kernel = ctx.saved_tensors
        twice = torch.is_grad_enabled()  # then gradients of these gradients are asked for
        with torch.enable_grad():
            gate = gate if twice else gate.detach().requires_grad_()
            active = ctx.activation(gate)
        product_grad = grad @ kernel.T
        gate_grad = None
        if ctx.needs_input_grad[1]:
            (gate_grad,) = torch.autograd.grad(active, gate, product_grad * x, create_graph=twice)
        active = active if twice else active.detach()
        kernel_grad = (active * x).flatten(0, -2).T @ grad.flatten(0, -2)
        return product_grad * active, gate_grad, kernel_grad, None


def conv(x, kernel, bias):
    """Convolution with stride 1 and zero padding to the same size, channels last; `bias` may be `None`.

    As `depthwise_conv` it copies nothing; `keras.ops.conv` copies the image twice, and keeps one for the backward pass.
    """
    rows, columns = kernel.shape[:2]
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding=(rows // 2, columns // 2))
    return x.permute(0, 2, 3, 1)


def strided_conv(x, kernel):
    """3x3 convolution with stride 2 and one row and column of zeros on every side, channels last."""
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=2, padding=1)
    return x.permute(0, 2, 3, 1)


def depthwise_conv(x, kernel, bias):
    """Depthwise convolution with stride 1 and zero padding to the same size, channels last.

    `permute` only relabels the axes and leaves the memory channels last, as PyTorch's convolution
    takes it; `keras.ops.depthwise_conv` copies the image to channels first and back.
    """
    choose_depthwise_conv("torch")  # raises where the user chose a formulation PyTorch has not
    side, _, channels, _ = kernel.shape
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(2, 3, 0, 1), bias, padding=side // 2, groups=channels)
    return x.permute(0, 2, 3, 1)


def weighted_rows(tables, indices, weights):
    """`sum over k of weights[..., k] * table[indices[..., k]]` of each image, without the gathered rows in memory."""
    table, indices = one_table(tables, indices)
    *shape, taps = indices.shape
    indices, weights = indices.reshape(-1, taps), weights.reshape(-1, taps).to(table.dtype)
    rows = functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")
    return rows.reshape(*shape, table.shape[1])
