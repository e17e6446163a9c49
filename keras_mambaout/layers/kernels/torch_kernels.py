"""The kernels that PyTorch computes faster than `keras.ops` asks it to."""

from torch.nn import functional

from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv


def dense(x, kernel, bias):
    """`x @ kernel + bias` over the last axis: one fused call instead of a product and a sum."""
    return functional.linear(x, kernel.T, bias)


def depthwise_conv(x, kernel, bias):
    """Depthwise convolution with stride 1 and zero padding to the same size, channels last.

    `permute` only relabels the axes and leaves the memory channels last, as PyTorch's convolution
    takes it; `keras.ops.depthwise_conv` copies the image to channels first and back.
    """
    choose_depthwise_conv("torch")  # raises where the user chose a formulation PyTorch has not
    side, _, channels, _ = kernel.shape
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(2, 3, 0, 1), bias, padding=side // 2, groups=channels)
    return x.permute(0, 2, 3, 1)


def weighted_rows(table, indices, weights):
    """`sum over k of weights[..., k] * table[indices[..., k]]`, without the gathered rows in memory."""
    *shape, taps = indices.shape
    indices, weights = indices.reshape(-1, taps), weights.reshape(-1, taps).to(table.dtype)
    rows = functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")
    return rows.reshape(*shape, table.shape[1])
