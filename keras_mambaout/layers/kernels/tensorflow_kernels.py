"""The kernels that TensorFlow computes in less memory when they bring their own gradient."""

import keras
import tensorflow as tf

from keras_mambaout.layers.kernels import keras_kernels


def gated_matmul(x, gate, kernel, activation):
    """`(activation(gate) * x) @ kernel`, which keeps its inputs only, where the activation is GELU."""
    if activation is keras.activations.gelu:
        return _gelu_gated_matmul(x, gate, kernel)
    return keras_kernels.gated_matmul(x, gate, kernel, activation)


@tf.custom_gradient
def _gelu_gated_matmul(x, gate, kernel):
    def gradients(grad):
        product_grad = tf.matmul(grad, kernel, transpose_b=True)
        with tf.control_dependencies([product_grad]):  # or the graph's optimizer would keep what was computed forward
            product, x_grad, gate_grad = keras_kernels.gelu_gate_gradients(
                tf.identity(x), tf.identity(gate), product_grad
            )
        pixels = list(range(len(grad.shape) - 1))
        return x_grad, gate_grad, tf.tensordot(product, grad, [pixels, pixels])

    return keras_kernels.gated_matmul(x, gate, kernel, keras.activations.gelu), gradients


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
