"""The kernels that TensorFlow computes faster, or in less memory, when they are written differently."""

import keras
import tensorflow as tf

from keras_mambaout.layers.kernels import keras_kernels


def dense(x, kernel, bias):
    """`x @ kernel + bias` over the last axis: a product of two matrices, to which TensorFlow adds in the same pass."""
    return _restored(tf.nn.bias_add(tf.matmul(_rows(x), kernel), bias), x)


def split(x, sizes, axis=-1):
    """Parts of the given sizes. Their gradients are put together at once, those of slices are padded and added."""
    return tf.split(x, sizes, axis)


def gated_matmul(x, gate, kernel, activation):
    """`(activation(gate) * x) @ kernel`, which keeps its inputs only, where the activation is GELU."""
    if activation is keras.activations.gelu:
        return _restored(_gelu_gated_matmul(_rows(x), _rows(gate), kernel), x)
    return keras_kernels.gated_matmul(x, gate, kernel, activation)


@tf.custom_gradient
def _gelu_gated_matmul(x, gate, kernel):
    def gradients(grad):
        product_grad = tf.matmul(grad, kernel, transpose_b=True)
        with tf.control_dependencies([product_grad]):  # or the graph's optimizer would keep what was computed forward
            product, x_grad, gate_grad = keras_kernels.gelu_gate_gradients(
                tf.identity(x), tf.identity(gate), product_grad
            )
        return x_grad, gate_grad, tf.matmul(product, grad, transpose_a=True)

    return keras_kernels.gated_matmul(x, gate, kernel, keras.activations.gelu), gradients


def _rows(x):
    """`(..., C)` -> `(N, C)`. TensorFlow multiplies matrices, but not batches of them, at full speed."""
    return tf.reshape(x, (-1, x.shape[-1]))


def _restored(rows, x):
    """`(N, C)` -> `(..., C)`, the shape of `x` but for its last axis."""
    shape = [-1 if size is None else size for size in x.shape[:-1]]
    if shape.count(-1) > 1:
        shape = tf.unstack(tf.shape(x)[:-1])
    return tf.reshape(rows, [*shape, rows.shape[-1]])


def layer_norm(x, gamma, beta, epsilon):
    """LayerNormalization over the last axis; for the backward pass it keeps its input, and not that times `gamma`."""

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        def gradients(grad):
            statistics = keras_kernels.layer_norm_statistics(x, epsilon)
            return keras_kernels.layer_norm_gradients(x, gamma, beta, *statistics, grad)

        return keras_kernels.layer_norm(x, gamma, beta, epsilon), gradients

    return normalized(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def conv(x, kernel, bias):
    """Convolution with stride 1 and zero padding to the same size, channels last; `bias` may be `None`.

    TensorFlow's own gradients copy, on a CPU, all pixels under the kernel at once: of a map of 200 x 320 pixels and 256
    channels (66 MB), each of the two 0.5 GB. The input's gradient is a convolution with the kernel turned round here,
    which copies nothing and takes two thirds of the time; the kernel's is computed with one copy at a time.
    """
    kernel = tf.convert_to_tensor(kernel)  # not a variable, of which `tf.custom_gradient` wants to know
    x = _conv(x, kernel) if max(kernel.shape[:2]) > 1 else tf.nn.conv2d(x, kernel, 1, "SAME")
    return x if bias is None else tf.nn.bias_add(x, bias)


@tf.custom_gradient
def _conv(x, kernel):
    def gradients(grad):
        turned = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        x_grad = tf.nn.conv2d(grad, turned, 1, "SAME")
        with tf.control_dependencies([x_grad]):
            return x_grad, _kernel_gradient(tf.identity(x), grad, kernel)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradients


def _kernel_gradient(x, grad, kernel):
    if tf.config.list_logical_devices("GPU"):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel.shape, out_backprop=grad, strides=[1, 1, 1, 1], padding="SAME"
        )

    def one_after_the_other(pixels, product):
        with tf.control_dependencies([product]):
            return tf.identity(pixels)

    return keras_kernels.conv_kernel_gradient(x, grad, kernel, one_after_the_other)


def weighted_rows(tables, indices, weights):
    """`sum over k of weights[..., k] * table[indices[..., k]]`, where each image has a table; only they get gradients.

    One of the K after the other, forward and backward: all at once would be K times the result.
    """
    table, indices = keras_kernels.one_table(tables, indices)
    weights = tf.cast(weights, table.dtype)
    taps = range(indices.shape[-1])

    @tf.custom_gradient
    def sum_of_rows(table):
        def gradient(grad):
            total = tf.zeros_like(table)
            for k in taps:
                with tf.control_dependencies([total]):
                    updates = grad * weights[..., k, None]
                total = tf.tensor_scatter_nd_add(total, indices[..., k, None], updates)
            return total

        total = tf.gather(table, indices[..., 0]) * weights[..., 0, None]
        for k in taps[1:]:
            with tf.control_dependencies([total]):
                rows = tf.gather(table, indices[..., k])
            total += rows * weights[..., k, None]
        return total, gradient

    return sum_of_rows(table)
