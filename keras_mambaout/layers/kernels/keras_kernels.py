"""The kernels in `keras.ops`: what they compute, for every backend that has none of its own."""

import itertools
import math

import keras
from keras import ops

from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv


def dense(x, kernel, bias):
    """`x @ kernel + bias` over the last axis."""
    return ops.add(ops.matmul(x, kernel), bias)


def tensor(weight, dtype):
    """The value of a variable, or a tensor, in a dtype."""
    return ops.convert_to_tensor(weight, dtype)


def split(x, sizes, axis=-1):
    """Parts of the given sizes."""
    return ops.split(x, list(itertools.accumulate(sizes))[:-1], axis=axis)


def gate(x, gate, activation):
    """`activation(gate) * x`."""
    return ops.multiply(activation(gate), x)


def gated_matmul(x, gate_input, kernel, activation):
    """`(activation(gate_input) * x) @ kernel` for training: for the backward pass it keeps nothing but its inputs.

    Their product and what the activation computes on the way are twice their size and more, and quickly computed anew.
    """
    return ops.matmul(gate(x, gate_input, activation), kernel)


def gelu_gate_gradients(x, gate_input, grad):
    """`gelu(gate_input) * x`, and its gradients by `x` and `gate_input`.

    With `gelu(g) = g cdf(g)`: `gelu'(g) = cdf(g) + g pdf(g)` of the normal distribution.
    """
    cdf = 0.5 + 0.5 * ops.erf(gate_input * math.sqrt(0.5))
    pdf = ops.exp(-0.5 * ops.square(gate_input)) * (1 / math.sqrt(2 * math.pi))
    active = gate_input * cdf
    return active * x, grad * active, grad * x * (cdf + gate_input * pdf)


def conv(x, kernel, bias):
    """Convolution with stride 1 and zero padding to the same size, channels last; `bias` may be `None`."""
    x = ops.conv(x, kernel, padding="same", data_format="channels_last")
    return x if bias is None else ops.add(x, bias)


def conv_kernel_gradient(x, grad, kernel, one_after_the_other=lambda pixels, _: pixels):
    """The gradient of `conv` by its kernel: at `(u, v)`, the product of the image, shifted by that, with `grad`.

    For a CPU. Frameworks' own gradient is a convolution with a kernel as large as the image: at 104 x 160 pixels and
    256 channels it takes 3.4 times as long as these nine products on PyTorch, 5 times on JAX, and on TensorFlow the
    memory of nine images.

    Args:
        x: `(B, H, W, C)`.
        grad: `(B, H, W, D)`.
        kernel: `(U, V, C, D)`, of which only the shape matters.
        one_after_the_other: Function of a shifted image and the product before, which returns the image when the
            product is computed, so that only one shifted image is in memory.
    """
    (height, width), (rows, columns, channels, filters) = ops.shape(x)[1:3], kernel.shape
    x = ops.pad(x, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)))
    grad = ops.reshape(grad, (-1, filters))  # (B * H * W, D)
    products, product = [], ops.zeros((channels, filters), x.dtype)
    for u in range(rows):
        for v in range(columns):
            pixels = one_after_the_other(x[:, u : u + height, v : v + width], product)
            product = ops.matmul(ops.transpose(ops.reshape(pixels, (-1, channels))), grad)
            products.append(product)
    return ops.reshape(ops.stack(products), kernel.shape)


def layer_norm(x, gamma, beta, epsilon):
    """LayerNormalization over the last axis: `gamma * (x - mean) / sqrt(variance + epsilon) + beta`."""
    return ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=epsilon)


def layer_norm_statistics(x, epsilon):
    """Returns the mean over the last axis and `1 / sqrt(variance + epsilon)`, float32, `(..., 1)`."""
    x = ops.cast(x, "float32")
    mean = ops.mean(x, axis=-1, keepdims=True)
    return mean, ops.rsqrt(ops.mean(ops.square(x - mean), axis=-1, keepdims=True) + epsilon)


def layer_norm_gradients(x, gamma, beta, mean, scale, grad):
    """The gradients of `layer_norm` by `x`, `gamma` and `beta`, from its input and statistics alone."""
    grad = ops.cast(grad, "float32")
    normed = (ops.cast(x, "float32") - mean) * scale
    normed_grad = grad * ops.cast(gamma, "float32")
    x_grad = scale * (
        normed_grad
        - ops.mean(normed_grad, axis=-1, keepdims=True)
        - normed * ops.mean(normed_grad * normed, axis=-1, keepdims=True)
    )
    pixels = tuple(range(len(x.shape) - 1))
    gamma_grad, beta_grad = ops.sum(grad * normed, axis=pixels), ops.sum(grad, axis=pixels)
    return ops.cast(x_grad, x.dtype), ops.cast(gamma_grad, gamma.dtype), ops.cast(beta_grad, beta.dtype)


def strided_conv(x, kernel, bias):
    """3x3 convolution with stride 2 and a row or column of zeros on every side, channels last; `bias` may be `None`."""
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # (B, H + 2, W + 2, C)
    x = ops.conv(x, kernel, strides=2, padding="valid", data_format="channels_last")
    return x if bias is None else ops.add(x, bias)


def depthwise_conv(x, kernel, bias):
    """Depthwise convolution with stride 1 and zero padding to the same size, channels last."""
    choose_depthwise_conv(keras.backend.backend())  # raises where the user chose another formulation
    return ops.add(ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last"), bias)


def weighted_rows(tables, indices, weights):
    """`sum over k of weights[..., k] * table[indices[..., k]]`: `(B, N, C)`, twice `(B, ..., K)` -> `(B, ..., C)`.

    Each image has a table and indices into it. Only tables get a gradient. A few of the K at a time, since what is
    gathered is K times the result.
    """
    table, indices = one_table(tables, indices)
    weights = ops.cast(weights, table.dtype)
    at_once = math.isqrt(indices.shape[-1])
    parts = [
        ops.sum(ops.take(table, indices[..., k : k + at_once], axis=0) * weights[..., k : k + at_once, None], axis=-2)
        for k in range(0, indices.shape[-1], at_once)
    ]
    return sum(parts)


def while_loop(condition, body, values):
    """Values after `values = body(*values)` as long as `condition(*values)`."""
    return ops.while_loop(condition, body, values)


def one_table(tables, indices):
    """Returns the tables of all images as one, `(B * N, C)`, and the indices into it."""
    batch, rows = ops.shape(tables)[:2]
    starts = ops.cast(ops.arange(batch) * rows, indices.dtype)
    starts = ops.reshape(starts, (-1, *[1] * (len(indices.shape) - 1)))
    return ops.reshape(tables, (-1, tables.shape[-1])), indices + starts
