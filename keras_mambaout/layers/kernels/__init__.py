"""The sums behind the layers, each written as the backend computes it fastest.

`keras_kernels` says what each function computes, in `keras.ops`; `jax_kernels` and `torch_kernels`
replace those that the frameworks compute faster when they are written differently. Same variables,
same numbers up to rounding. `benchmarks/speed.py` measures the difference.
"""

import keras

from keras_mambaout.layers.kernels.formulations import choose_depthwise_conv, get_depthwise_conv, set_depthwise_conv
from keras_mambaout.layers.kernels.keras_kernels import (
    dense,
    layer_norm,
    gate,
    depthwise_conv,
    strided_conv,
    weighted_rows,
)

if keras.backend.backend() == "jax":
    from keras_mambaout.layers.kernels.jax_kernels import depthwise_conv, gate, layer_norm, strided_conv, weighted_rows
elif keras.backend.backend() == "torch":
    from keras_mambaout.layers.kernels.torch_kernels import dense, depthwise_conv, weighted_rows

__all__ = [
    "set_depthwise_conv",
    "get_depthwise_conv",
    "choose_depthwise_conv",
    "dense",
    "layer_norm",
    "gate",
    "depthwise_conv",
    "strided_conv",
    "weighted_rows",
]
