"""The selective state space model (S6), Mamba's token mixer, which MambaOut leaves out."""

import math
import random
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.config import SCAN_DIRECTIONS, default_dt_rank
from keras_mambaout.layers import kernels
from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.serialization import serializable

TIME_STEPS = (1e-3, 1e-1)  # initial ones


@serializable
class SelectiveSSM(keras.layers.Layer):
    """Selective state space model (S6) over a sequence: a linear recurrence whose coefficients depend on the input.

    ```
    r, b, c = split(x @ x_proj)                       # dt_rank, state_dim, state_dim channels
    dt = softplus(r @ dt_proj + dt_bias)              # (B, L, C), above 0
    h_t = exp(dt_t a) h_{t-1} + dt_t b_t x_t          # (B, C, state_dim), a = -exp(A_log), h_0 = dt_0 b_0 x_0
    y_t = c_t h_t + D x_t
    ```

    A step sees itself and those before it. The recurrence is computed in float32, whatever the dtype policy; for the
    backward pass it keeps its inputs and every 64th state at most.

    Initial values are Mamba's: `A_log = log(1, ..., state_dim)`, `D = 1`, `dt` from 0.001 to 0.1, all magnitudes
    equally likely, `dt_proj` uniform in `+-dt_rank^-0.5`, `x_proj` in `+-C^-0.5`. `AdamW` of this package does not
    decay `A_log`, `D` and `dt_bias`. There are no published weights for it in a MambaOut network.

    Args:
        state_dim: States of each channel; Mamba has 16, VMamba 1.
        dt_rank: Rank of the projection to `dt`; `None` is `ceil(C / 16)`.

    Shapes:
        `(B, L, C)` -> `(B, L, C)`.

    Raises:
        ValueError: If an argument is not a positive integer.

    Example:
    ```python
    SelectiveSSM(state_dim=16)(keras.ops.ones((1, 196, 48))).shape  # (1, 196, 48)
    ```

    Source: [Gu and Dao, Mamba](https://arxiv.org/abs/2312.00752), algorithm 2.
    """

    def __init__(self, state_dim: int = 16, dt_rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_dim = check_positive_integer("state_dim", state_dim)
        self.dt_rank = dt_rank if dt_rank is None else check_positive_integer("dt_rank", dt_rank)

    def build(self, input_shape):
        channels, states = input_shape[-1], self.state_dim
        self.rank = self.dt_rank or default_dt_rank(channels)
        self.x_proj = self.add_weight(
            name="x_proj", shape=(channels, self.rank + 2 * states), initializer=_uniform(channels**-0.5)
        )
        self.dt_proj = self.add_weight(
            name="dt_proj", shape=(self.rank, channels), initializer=_uniform(self.rank**-0.5)
        )
        self.dt_bias = self.add_weight(
            name="dt_bias", shape=(channels,), initializer=_initial_dt_bias, autocast=False, dtype="float32"
        )
        self.A_log = self.add_weight(
            name="A_log", shape=(channels, states), initializer=_initial_A_log, autocast=False, dtype="float32"
        )
        self.D = self.add_weight(name="D", shape=(channels,), initializer="ones", autocast=False, dtype="float32")

    def call(self, inputs):
        return ops.cast(self.scan(inputs, *self.scan_weights()), self.compute_dtype)

    def scan_weights(self):
        """Returns what `scan` takes; several models stack theirs."""
        variables = self.x_proj, self.dt_proj, self.dt_bias, self.A_log, self.D
        return [variable.value for variable in variables]

    def scan(self, inputs, x_proj, dt_proj, dt_bias, A_log, D):
        """Returns `y`, float32. Of several models side by side the inputs are `(B, L, models, C)`."""
        projected = ops.einsum("bl...c,...cr->bl...r", inputs, x_proj)
        r, b, c = ops.split(projected, [self.rank, self.rank + self.state_dim], axis=-1)
        dt = ops.einsum("bl...r,...rc->bl...c", r, dt_proj)
        x, dt, b, c = (ops.cast(part, "float32") for part in (inputs, dt, b, c))
        return kernels.selective_scan(x, ops.softplus(dt + dt_bias), -ops.exp(A_log), b, c) + x * D

    def compute_output_shape(self, input_shape):
        return input_shape

    def count_macs(self, positions: int) -> int:
        """Returns the multiply-accumulates of so many positions: the projections, and 3 for each state.

        They are `decay * state + ...`, `dt x * b` and `c * state`.
        """
        channels = self.D.shape[0]
        return positions * channels * (2 * self.rank + 5 * self.state_dim + 1)

    def get_config(self):
        return {**super().get_config(), "state_dim": self.state_dim, "dt_rank": self.dt_rank}


@serializable
class SelectiveScan2D(CompositeLayer):
    """Selective state space models over the pixels of an image, one for each direction in which they are read.

    `y = sum over directions of merge(SSM_k(scan_k(x)))`: the first direction reads row by row, from the top left. Of
    two, the second reads from the end. Of four, they are: by rows, by columns, and both from the end, as in VMamba's
    cross-scan; then each pixel sees all others. Each direction has projections and states of its own.

    It is not VMamba, whose blocks are others.

    Args:
        directions: 1, 2 or 4.
        state_dim: As for `SelectiveSSM`, and so is the next.
        dt_rank: See above.

    Shapes:
        `(B, H, W, C)` -> `(B, H, W, C)`.

    Raises:
        ValueError: If an argument is not among those listed above.

    Example:
    ```python
    SelectiveScan2D(directions=4)(keras.ops.ones((1, 14, 14, 48))).shape  # (1, 14, 14, 48)
    ```

    Source: [Liu et al., VMamba](https://arxiv.org/abs/2401.10166); two directions are those of
    [Zhu et al., Vision Mamba](https://arxiv.org/abs/2401.09417).
    """

    def __init__(self, directions: int = 4, state_dim: int = 1, dt_rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.directions = check_choice("directions", directions, SCAN_DIRECTIONS)
        self.state_dim, self.dt_rank = state_dim, dt_rank
        self.models = [
            SelectiveSSM(state_dim, dt_rank, dtype=self.dtype_policy, name=str(k)) for k in range(directions)
        ]

    @not_rematerialized
    def build(self, input_shape):
        for model in self.models:
            model.build((input_shape[0], None, input_shape[-1]))

    def call(self, inputs):
        batch, height, width, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (batch, height * width, 1, channels))  # by rows
        if self.directions == 4:
            by_columns = ops.reshape(ops.transpose(inputs, (0, 2, 1, 3)), (batch, width * height, 1, channels))
            x = ops.concatenate([x, by_columns], axis=2)
        if self.directions > 1:
            x = ops.concatenate([x, ops.flip(x, axis=1)], axis=2)
        # One recurrence for all directions, which has less to compile.
        weights = zip(*(model.scan_weights() for model in self.models), strict=True)
        y = self.models[0].scan(x, *(ops.stack(parts) for parts in weights))
        if self.directions > 1:
            half = self.directions // 2
            y = y[:, :, :half] + ops.flip(y[:, :, half:], axis=1)
        by_rows = ops.reshape(y[:, :, 0], (batch, height, width, channels))
        if self.directions == 4:
            by_columns = ops.reshape(y[:, :, 1], (batch, width, height, channels))
            by_rows = by_rows + ops.transpose(by_columns, (0, 2, 1, 3))
        return ops.cast(by_rows, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def count_macs(self, positions: int) -> int:
        """Returns the multiply-accumulates of so many pixels, in all directions."""
        return sum(model.count_macs(positions) for model in self.models)

    def get_config(self):
        own = {"directions": self.directions, "state_dim": self.state_dim, "dt_rank": self.dt_rank}
        return {**super().get_config(), **own}


def _uniform(limit):
    """Returns an initializer from `-limit` to `limit`, with NumPy: one seed, the same weights on every backend."""

    def draw(shape, dtype=None):
        return ops.convert_to_tensor(_random().uniform(-limit, limit, shape).astype("float32"), dtype)

    return draw


def _random():
    return np.random.default_rng(random.randint(1, 2**31 - 1))  # as `keras.utils.set_random_seed` seeds it


def _initial_dt_bias(shape, dtype=None):
    """Returns what `softplus` turns into time steps whose logarithms are uniform."""
    dt = np.exp(_random().uniform(*map(math.log, TIME_STEPS), shape))
    return ops.convert_to_tensor((dt + np.log(-np.expm1(-dt))).astype("float32"), dtype)


def _initial_A_log(shape, dtype=None):
    return ops.convert_to_tensor(np.broadcast_to(np.log(np.arange(1, shape[1] + 1)), shape).astype("float32"), dtype)
