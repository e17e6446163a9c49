"""The shape of every MambaOut variant: one table, which factories, tests, README and command line read.

And `keep_memory`, a setting of the process.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Self

from keras_mambaout.memory import keep_memory as keep_memory  # public here

STAGES = 4
ACTIVATIONS = ("gelu", "silu")
DOWNSAMPLES = ("conv", "conv_nf")
HEADS = ("mlp", "norm_mlp")
TOKEN_MIXERS = ("conv", "conv_ssm", "causal_conv", "identity")
SCAN_DIRECTIONS = (1, 2, 4)
CHOICES = {
    "downsample": DOWNSAMPLES,
    "activation": ACTIVATIONS,
    "head": HEADS,
    "token_mixer": TOKEN_MIXERS,
    "scan_directions": SCAN_DIRECTIONS,
}
SSM_DEFAULTS = {"state_dim": 1, "dt_rank": None, "scan_directions": 4}
CHANNELS_PER_RANK = 16  # of the projection to a state space model's time steps
MIN_IMAGE_SIZE = 32  # the last stage has stride 32
MAX_DEPTH, MAX_DIM, MAX_RATIO = 1000, 2**16, 64  # far above any network, far below all memory
MAX_KERNEL_SIZE, MAX_STATES = 255, 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class MambaOutConfig:
    """Architecture of a MambaOut network. Image size, classes and rates belong to the model.

    Args:
        depths: Blocks in each of the four stages, at most 1000.
        dims: Channels of each of the four stages, at most 65,536; the first is even, since the stem starts with half
            of it.
        expansion_ratio: Hidden channels of a block over its channels, at most 64.
        conv_ratio: Channels that go through the depthwise convolution over the block's channels;
            at most `expansion_ratio`.
        kernel_size: Side of the depthwise kernel, odd, at most 255.
        stem_mid_norm: Whether a LayerNorm stands between the stem's two convolutions.
        downsample: `"conv"` (convolution, then LayerNorm) or `"conv_nf"` (LayerNorm first).
        layer_scale_init: Initial value of the blocks' LayerScale, or `None` for no LayerScale.
        activation: Activation in stem and blocks, `"gelu"` (exact, erf) or `"silu"`.
        head: Classifier head, `"mlp"` (LayerNorm after the hidden layer) or `"norm_mlp"` (none).
        token_mixer: What mixes the pixels of `conv_ratio` times the channels. `"conv"`: the depthwise convolution
            (MambaOut). `"conv_ssm"`: `SSM(silu(conv(c)))` with a selective state space model (S6), as in Mamba's
            blocks. `"causal_conv"`: the convolution, of which a pixel sees only those before it, row by
            row. `"identity"`: nothing. Weights are published for `"conv"` only;
            `load_weights(model, weights, fresh_token_mixer=True)` loads what the others share with it.
        state_dim: With `"conv_ssm"`, the states of each channel, at most 1024; usual are 1 and 16.
        dt_rank: With `"conv_ssm"`, the rank of the projection to the time steps, at most 65,536; `None` is a sixteenth
            of the mixed channels.
        scan_directions: With `"conv_ssm"`, in how many directions pixels are read: 1 (row by row, so that a pixel sees
            those before it), 2 (and from the end), 4 (rows and columns, from both ends).

    Raises:
        ValueError: If a value is not among those listed above.

    Example:
    ```python
    config = MambaOutConfig(depths=(1, 1, 2, 1), dims=(16, 32, 64, 96))
    backbone = MambaOutBackbone(config, input_shape=(64, 64, 1))
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992); the `rw` variants are
    Ross Wightman's, published with timm.
    """

    depths: Sequence[int] = (3, 3, 9, 3)
    dims: Sequence[int] = (96, 192, 384, 576)
    expansion_ratio: float = 8 / 3
    conv_ratio: float = 1.0
    kernel_size: int = 7
    stem_mid_norm: bool = True
    downsample: str = "conv"
    layer_scale_init: float | None = None
    activation: str = "gelu"
    head: str = "mlp"
    token_mixer: str = "conv"
    state_dim: int = SSM_DEFAULTS["state_dim"]
    dt_rank: int | None = SSM_DEFAULTS["dt_rank"]
    scan_directions: int = SSM_DEFAULTS["scan_directions"]

    def __post_init__(self) -> None:
        for field, most in (("depths", MAX_DEPTH), ("dims", MAX_DIM)):
            object.__setattr__(self, field, _four_positive_integers(field, getattr(self, field), most))
        if self.dims[0] % 2:
            raise ValueError(f"`dims[0]` must be even (the stem halves it), got {self.dims[0]}.")
        ratios = self.conv_ratio, self.expansion_ratio
        if not all(map(_is_number, ratios)) or not 0 < self.conv_ratio <= self.expansion_ratio <= MAX_RATIO:
            raise ValueError(
                f"`conv_ratio` must be above 0 and at most `expansion_ratio`, and that at most {MAX_RATIO}, got "
                f"conv_ratio={self.conv_ratio!r} and expansion_ratio={self.expansion_ratio!r}."
            )
        size = self.kernel_size
        if not _is_integer(size) or not 1 <= size <= MAX_KERNEL_SIZE or size % 2 == 0:
            raise ValueError(f"`kernel_size` must be an odd positive integer, at most {MAX_KERNEL_SIZE}, got {size!r}.")
        init = self.layer_scale_init
        if init is not None and not (_is_number(init) and init > 0):
            raise ValueError(f"`layer_scale_init` must be above 0, or None, got {init!r}.")
        if not isinstance(self.stem_mid_norm, bool):
            raise ValueError(f"`stem_mid_norm` must be True or False, got {self.stem_mid_norm!r}.")
        for field, allowed in CHOICES.items():
            value = getattr(self, field)
            if isinstance(value, bool) or value not in allowed:
                raise ValueError(f"`{field}` must be one of {', '.join(map(str, allowed))}, got {value!r}.")
        for field, most in (("state_dim", MAX_STATES), ("dt_rank", MAX_DIM)):
            value = getattr(self, field)
            if value != SSM_DEFAULTS[field] and not (_is_integer(value) and 1 <= value <= most):
                raise ValueError(f"`{field}` must be a positive integer, at most {most}, got {value!r}.")
        if self.token_mixer != "conv_ssm" and any(getattr(self, name) != SSM_DEFAULTS[name] for name in SSM_DEFAULTS):
            raise ValueError(f"`{'`, `'.join(SSM_DEFAULTS)}` are for token_mixer='conv_ssm', not {self.token_mixer!r}.")

    def with_token_mixer(self, token_mixer: str) -> Self:
        """Returns the same network with a different token mixer; a state space model with the default arguments.

        Example:
        ```python
        backbone = MambaOutBackbone(config.VARIANTS["mambaout_tiny"].with_token_mixer("conv_ssm"))
        ```
        """
        return dataclasses.replace(self, token_mixer=token_mixer, **SSM_DEFAULTS)

    def drop_path_rates(self, rate: float) -> tuple[tuple[float, ...], ...]:
        """Returns, per stage, the stochastic depth rate of each block: `linspace(0, rate, sum(depths))`."""
        last = max(sum(self.depths) - 1, 1)
        rates = iter([rate * block / last for block in range(sum(self.depths))])
        return tuple(tuple(next(rates) for _ in range(depth)) for depth in self.depths)

    def count_parameters(self, classes: int = 1000, channels: int = 3) -> int:
        """Returns the number of parameters of the classifier, without building it."""
        stem_dim = self.dims[0] // 2
        total = 9 * channels * stem_dim + stem_dim + 9 * stem_dim * self.dims[0] + self.dims[0]
        total += 2 * stem_dim * self.stem_mid_norm + 2 * self.dims[0]
        for stage, (depth, dim) in enumerate(zip(self.depths, self.dims, strict=True)):
            if stage > 0:
                previous = self.dims[stage - 1]
                total += 9 * previous * dim + dim + 2 * (previous if self.downsample == "conv_nf" else dim)
            hidden, conv = int(self.expansion_ratio * dim), int(self.conv_ratio * dim)
            block = 2 * dim + (dim + 1) * 2 * hidden + self._count_mixer_parameters(conv) + (hidden + 1) * dim
            total += depth * (block + dim * (self.layer_scale_init is not None))
        last, hidden = self.dims[-1], 4 * self.dims[-1]
        total += 2 * last + (last + 1) * hidden + 2 * hidden * (self.head == "mlp") + (hidden + 1) * classes
        return total

    def _count_mixer_parameters(self, channels):
        convolution = 0 if self.token_mixer == "identity" else (self.kernel_size**2 + 1) * channels
        if self.token_mixer != "conv_ssm":
            return convolution
        rank = self.dt_rank or default_dt_rank(channels)
        return convolution + self.scan_directions * channels * (2 * rank + 3 * self.state_dim + 2)


def default_dt_rank(channels: int) -> int:
    """Returns the rank of a state space model's projection to its time steps where none is given."""
    return -(-channels // CHANNELS_PER_RANK)


def _four_positive_integers(field, values, most):
    values = tuple(values) if isinstance(values, Sequence) else values
    is_valid = isinstance(values, tuple) and len(values) == STAGES
    if not is_valid or not all(_is_integer(value) and 0 < value <= most for value in values):
        raise ValueError(
            f"`{field}` must be {STAGES} positive integers, one per stage, at most {most}; got {values!r}."
        )
    return values


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


_RW = {"stem_mid_norm": False, "downsample": "conv_nf", "layer_scale_init": 1e-5, "head": "norm_mlp"}
_SMALL_DIMS = (48, 96, 192, 288)
_BASE_DIMS = (128, 256, 512, 768)

VARIANTS: Mapping[str, MambaOutConfig] = {
    # the paper's models
    "mambaout_femto": MambaOutConfig(dims=_SMALL_DIMS),
    "mambaout_kobe": MambaOutConfig(depths=(3, 3, 15, 3), dims=_SMALL_DIMS),
    "mambaout_tiny": MambaOutConfig(),
    "mambaout_small": MambaOutConfig(depths=(3, 4, 27, 3)),
    "mambaout_base": MambaOutConfig(depths=(3, 4, 27, 3), dims=_BASE_DIMS),
    # Ross Wightman's
    "mambaout_small_rw": MambaOutConfig(depths=(3, 4, 27, 3), **_RW),
    "mambaout_base_short_rw": MambaOutConfig(
        depths=(3, 3, 25, 3), dims=_BASE_DIMS, expansion_ratio=3.0, conv_ratio=1.25, **_RW
    ),
    "mambaout_base_tall_rw": MambaOutConfig(
        depths=(3, 4, 30, 3), dims=_BASE_DIMS, expansion_ratio=2.5, conv_ratio=1.25, **_RW
    ),
    "mambaout_base_wide_rw": MambaOutConfig(
        depths=(3, 4, 27, 3), dims=_BASE_DIMS, expansion_ratio=3.0, conv_ratio=1.5, activation="silu", **_RW
    ),
    "mambaout_base_plus_rw": MambaOutConfig(
        depths=(3, 4, 30, 3), dims=_BASE_DIMS, expansion_ratio=3.0, conv_ratio=1.5, activation="silu", **_RW
    ),
    # small enough for tests
    "mambaout_test": MambaOutConfig(
        depths=(1, 1, 3, 1), dims=(16, 32, 48, 64), expansion_ratio=3.0, activation="silu", **_RW
    ),
}

# Drop path rates for ImageNet: femto to base have the paper's; the rw models, which were published with
# a different recipe, have those of their size.
CLASSIFICATION_DROP_PATH_RATES: Mapping[str, float] = {
    "mambaout_femto": 0.025,
    "mambaout_kobe": 0.025,
    "mambaout_tiny": 0.2,
    "mambaout_small": 0.4,
    "mambaout_base": 0.6,
    "mambaout_small_rw": 0.4,
    "mambaout_base_short_rw": 0.6,
    "mambaout_base_tall_rw": 0.6,
    "mambaout_base_wide_rw": 0.6,
    "mambaout_base_plus_rw": 0.6,
    "mambaout_test": 0.0,
}

# Drop path rates for detection and segmentation: tiny, small and base have the paper's, the others keep theirs.
DENSE_PREDICTION_DROP_PATH_RATES: Mapping[str, float] = {**CLASSIFICATION_DROP_PATH_RATES, "mambaout_tiny": 0.3}


def resolve_config(config: str | Mapping | MambaOutConfig) -> MambaOutConfig:
    """Returns the `MambaOutConfig` that is meant by a variant's name, a config or a config's dict."""
    if isinstance(config, MambaOutConfig):
        return config
    if isinstance(config, Mapping):
        known = [field.name for field in dataclasses.fields(MambaOutConfig)]
        if unknown := [name for name in config if name not in known]:
            raise ValueError(f"MambaOutConfig has {', '.join(known)}, got {', '.join(map(repr, unknown)):.200}.")
        return MambaOutConfig(**config)
    if not isinstance(config, str) or config not in VARIANTS:
        raise ValueError(
            f"Unknown MambaOut variant {config!r}. Choose one of {', '.join(VARIANTS)}, or pass a MambaOutConfig."
        )
    return VARIANTS[config]
