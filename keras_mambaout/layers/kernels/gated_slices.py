"""The gated part of a block, as dense layers over slices of its weights."""

from keras import ops

from keras_mambaout.layers import kernels


def gated_cnn(x, fc1_kernel, fc1_bias, fc2_kernel, fc2_bias, conv_dim, mix_pixels, activation, training):
    """`fc2(activation(g) * concat(i, mix_pixels(c)))` with `g, i, c = split(fc1(x))`, `c` of `conv_dim` channels.

    Splitting and concatenating copies every feature map, slicing a kernel copies next to nothing: dense layers over
    slices of the same weights are the fastest form on TensorFlow and JAX. PyTorch has its own.
    """
    hidden_dim = fc2_kernel.shape[0]
    plain_dim = hidden_dim - conv_dim  # hidden channels that no convolution mixes

    def fc1(start, end):
        return kernels.dense(x, fc1_kernel[:, start:end], fc1_bias[start:end])

    gate_i, gate_c = fc1(0, plain_dim), fc1(plain_dim, hidden_dim)
    i = fc1(hidden_dim, hidden_dim + plain_dim)  # (B, H, W, plain)
    c = mix_pixels(fc1(hidden_dim + plain_dim, 2 * hidden_dim))  # (B, H, W, conv)
    if training:
        i = kernels.gated_matmul(i, gate_i, fc2_kernel[:plain_dim], activation)
        return i + kernels.gated_matmul(c, gate_c, fc2_kernel[plain_dim:], activation) + fc2_bias
    i, c = kernels.gate(i, gate_i, activation), kernels.gate(c, gate_c, activation)
    return kernels.dense(i, fc2_kernel[:plain_dim], fc2_bias) + ops.matmul(c, fc2_kernel[plain_dim:])
