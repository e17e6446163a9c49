"""The gated CNN block: a Mamba block without its state space model."""

from collections.abc import Callable

import keras
from keras import ops

from keras_mambaout.layers import kernels
from keras_mambaout.layers.common import dense, layer_norm
from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.layers.depthwise_conv import DepthwiseConv2D
from keras_mambaout.layers.layer_scale import LayerScale
from keras_mambaout.layers.state_space import SelectiveScan2D
from keras_mambaout.layers.stochastic_depth import StochasticDepth
from keras_mambaout.serialization import serializable


@serializable
class GatedCNNBlock(CompositeLayer):
    """Residual block: a gate multiplies features, some of which went through a depthwise convolution.

    ```
    g, i, c = split(fc1(LN(x)))          # hidden, hidden - conv_dim, conv_dim channels
    y = x + drop_path(layer_scale(fc2(act(g) * concat(i, depthwise_conv(c)))))
    ```

    with `hidden = int(expansion_ratio * C)` and `conv_dim = int(conv_ratio * C)`. `token_mixer` says what stands in the
    place of the convolution, the only operation of a block that mixes pixels.

    Args:
        expansion_ratio: Hidden channels over the input's channels `C`.
        conv_ratio: Convolved channels over `C`, at most `expansion_ratio`.
        kernel_size: Side of the depthwise kernel, odd.
        activation: Name of the gate's activation.
        layer_scale_init: Initial value of the LayerScale, or `None` for none.
        drop_path_rate: Stochastic depth rate, in `[0, 1)`.
        token_mixer: As in `MambaOutConfig`, and so are the next three.
        state_dim: See above.
        dt_rank: See above.
        scan_directions: See above.

    Shapes:
        `(B, H, W, C)` -> `(B, H, W, C)`.

    Example:
    ```python
    GatedCNNBlock()(keras.ops.ones((1, 14, 14, 192))).shape  # (1, 14, 14, 192)
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), Figure 1, after
    [Dauphin et al.](https://arxiv.org/abs/1612.08083).
    """

    def __init__(
        self,
        expansion_ratio: float = 8 / 3,
        conv_ratio: float = 1.0,
        kernel_size: int = 7,
        activation: str | Callable = "gelu",
        layer_scale_init: float | None = None,
        drop_path_rate: float = 0.0,
        token_mixer: str = "conv",
        state_dim: int = 1,
        dt_rank: int | None = None,
        scan_directions: int = 4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.expansion_ratio = expansion_ratio
        self.conv_ratio = conv_ratio
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)
        self.layer_scale_init = layer_scale_init
        self.drop_path_rate = drop_path_rate
        self.token_mixer = token_mixer
        self.state_dim, self.dt_rank, self.scan_directions = state_dim, dt_rank, scan_directions

    @not_rematerialized
    def build(self, input_shape):
        dim = input_shape[-1]
        dtype = self.dtype_policy
        self.hidden_dim = int(self.expansion_ratio * dim)
        self.conv_dim = int(self.conv_ratio * dim)

        self.norm = layer_norm("norm", dtype)
        self.norm.build(input_shape)
        self.fc1 = dense(2 * self.hidden_dim, "fc1", self.dtype_of("fc1"))
        self.fc1.build(input_shape)
        self.conv = self.ssm = None
        if self.token_mixer != "identity":
            self.conv = DepthwiseConv2D(self.kernel_size, self.token_mixer == "causal_conv", dtype=dtype, name="conv")
            self.conv.build((*input_shape[:-1], self.conv_dim))
        if self.token_mixer == "conv_ssm":
            self.ssm = SelectiveScan2D(self.scan_directions, self.state_dim, self.dt_rank, dtype=dtype, name="ssm")
            self.ssm.build((*input_shape[:-1], self.conv_dim))
        self.fc2 = dense(dim, "fc2", self.dtype_of("fc2"))
        self.fc2.build((*input_shape[:-1], self.hidden_dim))
        self.ls = None
        if self.layer_scale_init is not None:
            self.ls = LayerScale(self.layer_scale_init, dtype=dtype, name="ls")
            self.ls.build(input_shape)
        self.drop_path = StochasticDepth(self.drop_path_rate, dtype=dtype, name="drop_path")
        self.drop_path.build(input_shape)

    def call(self, inputs, training=False):
        return inputs + self.inner(self.drop_path, self._branch(inputs, training), training=training)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Computes anew all but the drop path, which draws random numbers."""
        branch = super().rematerialized_call(self._branch, *args, **kwargs)
        return lambda inputs, training=False: inputs + self.inner(self.drop_path, branch(inputs), training=training)

    def _branch(self, inputs, training=False):
        x = self.inner(self.norm, inputs)
        is_quantized = self.fc1.quantization_mode or self.fc2.quantization_mode
        x = self._gated(x) if is_quantized else self._gated_fast(x, training)
        return x if self.ls is None else self.inner(self.ls, x)

    def _gated(self, x):
        """The formula as it stands above. Quantized blocks compute it so: they have no kernel to slice."""
        x = self.fc1(x)  # (B, H, W, 2 * hidden)
        gate, i, c = ops.split(x, [self.hidden_dim, 2 * self.hidden_dim - self.conv_dim], axis=-1)
        return self.fc2(self.activation(gate) * ops.concatenate([i, self._mix_pixels(c)], axis=-1))  # (B, H, W, C)

    def _gated_fast(self, x, training):
        """The same, computed from the weights of the dense layers."""
        weights = (self.fc1.kernel, self.fc1.bias, self.fc2.kernel, self.fc2.bias)
        weights = (kernels.tensor(weight, self.compute_dtype) for weight in weights)
        return kernels.gated_cnn(x, *weights, self.conv_dim, self._mix_pixels, self.activation, training)

    def _mix_pixels(self, c):
        c = c if self.conv is None else self.inner(self.conv, c)
        return c if self.ssm is None else self.ssm(ops.silu(c))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "expansion_ratio": self.expansion_ratio,
            "conv_ratio": self.conv_ratio,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "layer_scale_init": self.layer_scale_init,
            "drop_path_rate": self.drop_path_rate,
            "token_mixer": self.token_mixer,
            "state_dim": self.state_dim,
            "dt_rank": self.dt_rank,
            "scan_directions": self.scan_directions,
        }
