"""The gated part of a block, as dense layers over slices of its weights."""

from collections.abc import Callable

from keras import ops


def make_gated_cnn(dense: Callable, split: Callable, gate: Callable, gated_matmul: Callable) -> Callable:
    """Returns `gated_cnn`, made of a backend's kernels."""

    def gated_cnn(x, fc1_kernel, fc1_bias, fc2_kernel, fc2_bias, conv_dim, mix_pixels, activation, training):
        """`fc2(activation(g) * concat(i, mix_pixels(c)))` with `g, i, c = split(fc1(x))`, `c` of `conv_dim` channels.

        Splitting and concatenating copies every feature map, slicing a kernel copies next to nothing: dense layers over
        slices of the same weights are the fastest form on TensorFlow and JAX. PyTorch has its own.
        """
        plain_dim = fc2_kernel.shape[0] - conv_dim  # hidden channels that no convolution mixes
        sizes = [plain_dim, conv_dim] * 2
        fc1_kernels, fc1_biases = split(fc1_kernel, sizes), split(fc1_bias, sizes)
        gate_i, gate_c, i, c = (dense(x, *weights) for weights in zip(fc1_kernels, fc1_biases, strict=True))
        c = mix_pixels(c)
        plain_kernel, conv_kernel = split(fc2_kernel, sizes[:2], axis=0)
        if training:
            i = gated_matmul(i, gate_i, plain_kernel, activation)
            return i + gated_matmul(c, gate_c, conv_kernel, activation) + fc2_bias
        i, c = gate(i, gate_i, activation), gate(c, gate_c, activation)
        return dense(i, plain_kernel, fc2_bias) + ops.matmul(c, conv_kernel)

    return gated_cnn
