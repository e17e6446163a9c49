"""The sums behind the layers, each written as the backend computes it fastest.

`keras_kernels` says what each function computes, in `keras.ops`; the other files replace those that a
framework computes faster, or in less memory, when they are written differently. Same variables, same
numbers up to rounding. `benchmarks/speed.py` measures the difference.
"""

import keras

from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv, get_depthwise_conv, set_depthwise_conv
from keras_mambaout.layers.kernels.gated_slices import make_gated_cnn
from keras_mambaout.layers.kernels.keras_kernels import (
    tensor,
    dense,
    split,
    layer_norm,
    gate,
    gated_matmul,
    conv,
    depthwise_conv,
    strided_conv,
    weighted_rows,
    while_loop,
)

if keras.backend.backend() == "jax":
    from keras_mambaout.layers.kernels.jax_kernels import (
        conv,
        dense,
        depthwise_conv,
        gate,
        gated_matmul,
        layer_norm,
        strided_conv,
        weighted_rows,
    )
    from keras_mambaout.layers.kernels.jax_state_space import linear_scan, selective_scan
elif keras.backend.backend() == "tensorflow":
    from keras_mambaout.layers.kernels.tensorflow_kernels import (
        conv,
        dense,
        gated_matmul,
        layer_norm,
        split,
        weighted_rows,
    )
    from keras_mambaout.layers.kernels.tensorflow_state_space import linear_scan, selective_scan
elif keras.backend.backend() == "torch":
    from keras_mambaout.layers.kernels.torch_kernels import (
        conv,
        depthwise_conv,
        gated_cnn,
        layer_norm,
        strided_conv,
        tensor,
        weighted_rows,
        while_loop,
    )
    from keras_mambaout.layers.kernels.torch_state_space import linear_scan, selective_scan

if keras.backend.backend() != "torch":
    gated_cnn = make_gated_cnn(dense, split, gate, gated_matmul)

__all__ = [
    "set_depthwise_conv",
    "get_depthwise_conv",
    "choose_depthwise_conv",
    "tensor",
    "dense",
    "split",
    "layer_norm",
    "gated_cnn",
    "gate",
    "gated_matmul",
    "conv",
    "depthwise_conv",
    "strided_conv",
    "weighted_rows",
    "while_loop",
    "linear_scan",
    "selective_scan",
]
