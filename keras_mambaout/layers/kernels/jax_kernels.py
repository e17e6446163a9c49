"""The kernels that JAX computes faster when they bring their own gradient.

JAX keeps every intermediate value of a forward pass for the backward pass, and XLA's CPU compiler
does not undo that. Each gradient here is written from the inputs alone: a training step of femto
(batch 8, 224 pixels) keeps 0.6 GB instead of 0.95, and touching memory is what takes the time. Gradients of gradients
work; forward mode (`jax.jvp`) is refused by `jax.custom_vjp`, with a sentence.
"""

import functools

import jax
import jax.numpy as jnp
import keras
from jax import lax

from keras_mambaout.layers.kernels import keras_kernels
from keras_mambaout.layers.kernels.formulations import SHIFTED_ON, choose_depthwise_conv, get_depthwise_conv
from keras_mambaout.layers.kernels.jax_shifted_conv import shifted_conv

FEW_CHANNELS = 4  # of images, for which XLA's CPU convolution is slow (28 ms instead of 7 in femto's stem)


def dense(x, kernel, bias):
    """`x @ kernel + bias` over the last axis."""
    return _matmul(x, kernel) + bias


def _matmul(x, kernel):
    """`x @ kernel` of a list of pixels: the kernel's gradient sums over one axis; for three, XLA transposes `x`."""
    return (_pixels(x) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _pixels(x):
    """`(B, H, W, C)` -> `(B * H * W, C)`."""
    return lax.collapse(x, 0, x.ndim - 1)


def gate(x, gate, activation):
    """`activation(gate) * x`."""
    if activation is keras.activations.gelu:
        return _gelu_gate(x, gate)
    return activation(gate) * x


@jax.custom_vjp
def _gelu_gate(x, gate):
    return jax.nn.gelu(gate, approximate=False) * x


def _gelu_gate_forward(x, gate):
    return _gelu_gate(x, gate), (x, gate)


def _gelu_gate_backward(residuals, grad):
    """By `erf`, and not by `erfc` as in JAX's `gelu`: a training step of femto kept 755 MB instead of 583."""
    return keras_kernels.gelu_gate_gradients(*residuals, grad)[1:]


_gelu_gate.defvjp(_gelu_gate_forward, _gelu_gate_backward)


def gated_matmul(x, gate, kernel, activation):
    """`(activation(gate) * x) @ kernel`, which keeps its inputs only, where the activation is GELU."""
    if activation is keras.activations.gelu:
        return _gelu_gated_matmul(x, gate, kernel)
    return keras_kernels.gated_matmul(x, gate, kernel, activation)


@jax.custom_vjp
def _gelu_gated_matmul(x, gate, kernel):
    return keras.ops.matmul(_gelu_gate(x, gate), kernel)


@jax.jit
def _gelu_gated_matmul_forward(x, gate, kernel):
    return _gelu_gated_matmul(x, gate, kernel), (x, gate, kernel)


@jax.jit
def _gelu_gated_matmul_backward(residuals, grad):
    """The barrier keeps XLA from keeping what was computed forward; the kernel's gradient sums as in `_matmul`."""
    x, gate, kernel = residuals
    x, gate, product_grad = lax.optimization_barrier((x, gate, grad @ kernel.T))
    product, x_grad, gate_grad = keras_kernels.gelu_gate_gradients(x, gate, product_grad)
    return x_grad, gate_grad, _pixels(product).T @ _pixels(grad)


_gelu_gated_matmul.defvjp(_gelu_gated_matmul_forward, _gelu_gated_matmul_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(x, gamma, beta, epsilon):
    """LayerNormalization over the last axis."""
    return keras_kernels.layer_norm(x, gamma, beta, epsilon)


@functools.partial(jax.jit, static_argnames="epsilon")
def _layer_norm_forward(x, gamma, beta, epsilon):
    """The same in float32, with what the backward pass reads."""
    mean, scale = keras_kernels.layer_norm_statistics(x, epsilon)
    y = (x.astype("float32") - mean) * scale * gamma + beta
    return y.astype(x.dtype), (x, gamma, beta, mean, scale)


@functools.partial(jax.jit, static_argnames="epsilon")
def _layer_norm_backward(epsilon, residuals, grad):
    return keras_kernels.layer_norm_gradients(*residuals, grad)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def conv(x, kernel, bias):
    """Convolution with stride 1 and zero padding to the same size, channels last; `bias` may be `None`."""
    x = _conv(x, kernel)
    return x if bias is None else x + bias


@jax.custom_vjp
def _conv(x, kernel):
    return keras_kernels.conv(x, kernel, None)


def _conv_forward(x, kernel):
    return _conv(x, kernel), (x, kernel)


def _conv_backward(residuals, grad):
    x, kernel = residuals
    (x_grad,) = jax.vjp(lambda x: keras_kernels.conv(x, kernel, None), x)[1](grad)
    return x_grad, lax.platform_dependent(x, grad, kernel, cpu=_shifted_products, default=_native_kernel_gradient)


def _shifted_products(x, grad, kernel):
    """`keras_kernels.conv_kernel_gradient` as a loop."""
    margins = [(side // 2, side // 2) for side in kernel.shape[:2]]
    return _product_of_each_tap(jnp.pad(x, ((0, 0), *margins, (0, 0))), grad, kernel)


def _product_of_each_tap(padded, grad, kernel, stride=1):
    """The gradient of a convolution's kernel: for each of its places, what it sees of the image times `grad`.

    A loop has one shifted image in memory: for a train step of Mask R-CNN at 400 x 640 pixels
    XLA takes 1.6 GB instead of 2.2.
    """
    batch, height, width, _ = grad.shape
    columns = kernel.shape[1]
    size = (batch, stride * (height - 1) + 1, stride * (width - 1) + 1, padded.shape[-1])

    def product(tap):
        seen = lax.dynamic_slice(padded, (0, tap // columns, tap % columns, 0), size)[:, ::stride, ::stride]
        return _pixels(seen).T @ _pixels(grad)

    return lax.map(product, jnp.arange(kernel.shape[0] * columns)).reshape(kernel.shape)


def _native_kernel_gradient(x, grad, kernel):
    return jax.vjp(lambda kernel: keras_kernels.conv(x, kernel, None), kernel)[1](grad)[0]


_conv.defvjp(_conv_forward, _conv_backward)


def strided_conv(x, kernel, bias):
    """3x3 convolution with stride 2 and one row and column of zeros on every side, channels last."""
    on_cpu = _strided_conv if kernel.shape[2] > FEW_CHANNELS else _strided_conv_of_patches
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=_native_strided_conv) + bias


def _native_strided_conv(x, kernel):
    return keras_kernels.strided_conv(x, kernel, None)


@jax.custom_vjp
def _strided_conv(x, kernel):
    return _native_strided_conv(x, kernel)


def _strided_conv_forward(x, kernel):
    return _strided_conv(x, kernel), (x, kernel)


@jax.jit
def _strided_conv_backward(residuals, grad):
    """The kernel's gradient tap by tap, each a matmul: femto's four take 46 ms instead of XLA's 103."""
    x, kernel = residuals
    _, x_gradient = jax.vjp(lambda x: _native_strided_conv(x, kernel), x)
    padded = jnp.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    return x_gradient(grad)[0], _product_of_each_tap(padded, grad, kernel, stride=2)


_strided_conv.defvjp(_strided_conv_forward, _strided_conv_backward)


def _strided_conv_of_patches(x, kernel):
    batch, height, width, channels = x.shape
    height, width = (height + 1) // 2, (width + 1) // 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = [
        lax.slice(x, (0, u, v, 0), (batch, u + 2 * height - 1, v + 2 * width - 1, channels), (1, 2, 2, 1))
        for u in range(3)
        for v in range(3)
    ]
    patches = jnp.concatenate(patches, axis=-1)  # (B, H/2, W/2, 9 * C)
    return _matmul(patches, kernel.reshape(9 * channels, -1))


def depthwise_conv(x, kernel, bias):
    """Depthwise convolution with stride 1 and zero padding to the same size, channels last."""
    if get_depthwise_conv() == "auto":  # decided by the device for which XLA compiles
        shifted = dict.fromkeys(SHIFTED_ON["jax"], shifted_conv)
        return lax.platform_dependent(x, kernel, **shifted, default=_native_conv) + bias
    return {"native": _native_conv, "shifted": shifted_conv}[choose_depthwise_conv("jax")](x, kernel) + bias


def _native_conv(x, kernel):
    return keras.ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last")


def weighted_rows(tables, indices, weights):
    """`sum over k of weights[..., k] * table[indices[..., k]]`, where each image has a table; only they get gradients.

    Image by image, so that devices that share a batch do not gather the features of all its images.
    """
    return jax.vmap(_weighted_rows)(tables, indices, weights)


@jax.custom_vjp
def _weighted_rows(table, indices, weights):
    """The same for one image.

    Term by term XLA fuses it into one loop (of 256 boxes 2 ms; 36 to 65 ms as a gather of all and a sum, 14
    with the check of bounds of `jnp.take`), and backwards all rows are added up at once. The barriers keep XLA
    from computing indices and weights anew for every channel.
    """
    indices, weights = lax.optimization_barrier((indices, weights))
    return sum(
        table.at[indices[..., k]].get(mode="clip") * weights[..., k, None].astype(table.dtype)
        for k in range(indices.shape[-1])
    )


def _weighted_rows_forward(table, indices, weights):
    return _weighted_rows(table, indices, weights), (table, indices, weights)


def _weighted_rows_backward(residuals, grad):
    table, indices, weights = residuals
    updates = grad[..., None, :] * weights[..., None].astype(grad.dtype)  # (..., K, C)
    updates = lax.optimization_barrier(updates)
    table_grad = jnp.zeros_like(table).at[indices].add(updates, mode="drop")
    return table_grad, None, jnp.zeros_like(weights)


_weighted_rows.defvjp(_weighted_rows_forward, _weighted_rows_backward)
