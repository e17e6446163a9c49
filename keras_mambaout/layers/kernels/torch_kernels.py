"""The kernels that PyTorch computes faster than `keras.ops` asks it to."""

import keras
import torch
from torch._higher_order_ops import while_loop as exported_while_loop
from torch.nn import functional

from keras_mambaout.layers.kernels import keras_kernels
from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv
from keras_mambaout.layers.kernels.keras_kernels import conv_kernel_gradient, one_table

ACTIVATIONS = {keras.activations.gelu: functional.gelu, keras.activations.silu: functional.silu}


def tensor(weight, dtype):
    """The value of a variable, or a tensor, in a dtype."""
    return (weight.value if isinstance(weight, keras.Variable) else weight).to(getattr(torch, dtype))


def layer_norm(x, gamma, beta, epsilon):
    """LayerNormalization over the last axis."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    gamma, beta = gamma.to(wide.dtype), beta.to(wide.dtype)
    return functional.layer_norm(wide, gamma.shape, gamma, beta, epsilon).to(x.dtype)


def gated_cnn(x, fc1_kernel, fc1_bias, fc2_kernel, fc2_bias, conv_dim, mix_pixels, activation, training):
    """`fc2(activation(g) * concat(i, mix_pixels(c)))` with `g, i, c = split(fc1(x))`, nothing concatenated."""
    hidden_dim = fc2_kernel.shape[0]
    sizes = (hidden_dim, hidden_dim - conv_dim, conv_dim)
    kernels, biases = fc1_kernel.T.split(sizes), fc1_bias.split(sizes)
    gate, i, c = (functional.linear(x, kernel, bias) for kernel, bias in zip(kernels, biases, strict=True))
    c = mix_pixels(c)
    activation = ACTIVATIONS.get(activation, activation)
    if torch.is_grad_enabled():
        return _GatedDense.apply(gate, i, c, fc2_kernel, fc2_bias, activation)
    return functional.linear(_times(_active(gate, activation), i, c), fc2_kernel.T, fc2_bias)


class _GatedDense(torch.autograd.Function):
    """`(activation(gate) * concat(i, c)) @ kernel + bias`, which keeps its inputs only."""

    @staticmethod
    def forward(gate, i, c, kernel, bias, activation):
        return functional.linear(_times(_active(gate, activation), i, c), kernel.T, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.activation = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad):
        gate, i, c, kernel, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # gradients of these gradients are asked for
            product = ctx.activation(gate) * torch.cat([i, c], dim=-1)
            inputs = [value for value in ctx.saved_tensors if value.requires_grad]
            grads = iter(torch.autograd.grad(product @ kernel + bias, inputs, grad, create_graph=True))
            return *(next(grads) if value.requires_grad else None for value in ctx.saved_tensors), None
        gate = gate.detach().requires_grad_()
        with torch.enable_grad():
            active = _active(gate, ctx.activation)
        product_grad = grad @ kernel.T
        plain_dim = i.shape[-1]
        i_grad = product_grad[..., :plain_dim] * active.detach()[..., :plain_dim]
        c_grad = product_grad[..., plain_dim:] * active.detach()[..., plain_dim:]
        (gate_grad,) = torch.autograd.grad(active, gate, _times(product_grad, i, c))
        product, grad = _times(active.detach(), i, c).flatten(0, -2), grad.flatten(0, -2)
        return gate_grad, i_grad, c_grad, product.T @ grad, grad.sum(0), None


def _active(gate, activation):
    """`activation(gate)`, never `gate` itself: it is overwritten."""
    active = activation(gate)
    return active.clone() if active is gate else active


def _times(x, i, c):
    """`x * concat(i, c)` in place of `x`."""
    plain_dim = i.shape[-1]
    x[..., :plain_dim] *= i
    x[..., plain_dim:] *= c
    return x


def conv(x, kernel, bias):
    """Convolution with stride 1 and zero padding to the same size, channels last; `bias` may be `None`.

    As `depthwise_conv` it copies nothing; `keras.ops.conv` copies the image twice, and keeps one for the backward pass.
    """
    if torch.is_grad_enabled() and kernel.requires_grad and kernel.device.type == "cpu" and max(kernel.shape[:2]) > 1:
        return _Conv.apply(x, kernel, bias)
    return _conv(x, kernel, bias)


def _conv(x, kernel, bias=None):
    rows, columns = kernel.shape[:2]
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, padding=(rows // 2, columns // 2))
    return x.permute(0, 2, 3, 1)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(x, kernel, bias):
        return _conv(x, kernel, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, grad):
        x, kernel = ctx.saved_tensors
        x_needed, _, bias_needed = ctx.needs_input_grad
        x_grad = _conv(grad, kernel.flip(0, 1).transpose(2, 3)) if x_needed else None
        return x_grad, conv_kernel_gradient(x, grad, kernel), grad.sum((0, 1, 2)) if bias_needed else None


def strided_conv(x, kernel, bias):
    """3x3 convolution with stride 2 and one row and column of zeros on every side, channels last."""
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, stride=2, padding=1)
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


def while_loop(condition, body, values):
    """Values after `values = body(*values)` as long as `condition(*values)`; `torch.export` keeps it as a loop."""
    if not torch.compiler.is_exporting():
        return keras_kernels.while_loop(condition, body, values)

    def fresh(results):  # neither an input nor another result, which a loop must not return
        return keras.tree.map_structure(torch.clone, results)

    return exported_while_loop(
        lambda *values: fresh(condition(*values)), lambda *values: fresh(body(*values)), fresh(values)
    )
