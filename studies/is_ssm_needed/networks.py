"""The networks of the study, which differ in their token mixer and have the same number of parameters.

Two shapes: `pyramid`, a MambaOut classifier of four stages, and `plain`, blocks of one width at one resolution behind
an embedding of patches that do not overlap, so that nothing but the token mixers lets pixels see each other. A mixer
that has more parameters than the 7 x 7 convolution gets fewer hidden channels (`expansion_ratio`), one that has fewer
gets more. Of a causal convolution's kernel only the taps that are used count, 25 of 49.
"""

import functools

import keras

from keras_mambaout import MambaOutBackbone, MambaOutClassifier, MambaOutConfig
from keras_mambaout.layers import GatedCNNBlock

REFERENCE, EXPANSION = "conv 7", 8 / 3
MIXERS = {
    "conv 7": {},
    "conv 11": {"kernel_size": 11},
    "causal conv 7": {"token_mixer": "causal_conv"},
    "causal conv 9": {"token_mixer": "causal_conv", "kernel_size": 9},
    "conv + SSM": {"token_mixer": "conv_ssm"},
    "conv + SSM, 1 direction": {"token_mixer": "conv_ssm", "scan_directions": 1},
    "conv + SSM, 1 direction, 16 states": {"token_mixer": "conv_ssm", "scan_directions": 1, "state_dim": 16},
    "SSM": {"token_mixer": "conv_ssm", "kernel_size": 1},  # a depthwise kernel of one tap mixes nothing
    "SSM, 1 direction": {"token_mixer": "conv_ssm", "kernel_size": 1, "scan_directions": 1},
    "identity": {"token_mixer": "identity"},
}


def pyramid(mixer, expansion, *, input_shape, classes, depths, dims):
    """Returns a MambaOut classifier: stem of stride 4, four stages, strides 4 to 32."""
    config = MambaOutConfig(depths=depths, dims=dims, expansion_ratio=expansion, **MIXERS[mixer])
    backbone = MambaOutBackbone(config, input_shape=input_shape, include_preprocessing=False)
    return MambaOutClassifier(backbone, classes=classes, classifier_activation=None)


def plain(mixer, expansion, *, input_shape, classes, blocks, dim, patch, pooled):
    """Returns patches, blocks and a head: one answer for each patch, or with `pooled` one for the image."""
    inputs = x = keras.Input(input_shape)  # (B, H, W, C)
    x = keras.layers.Conv2D(dim, patch, strides=patch, name="patches")(x)  # (B, H / patch, W / patch, dim)
    for number in range(blocks):
        ratio = (round(expansion * dim) + 0.1) / dim  # whole channels, in spite of rounding
        x = GatedCNNBlock(expansion_ratio=ratio, name=f"block_{number}", **MIXERS[mixer])(x)
    x = keras.layers.GlobalAveragePooling2D()(x) if pooled else x
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))


SHAPES = {"pyramid": pyramid, "plain": plain}


def create(shape, mixer, seed, **options):
    """Returns a network as large as that of the reference; the seed decides its weights."""
    is_reference = mixer == REFERENCE
    expansion = EXPANSION if is_reference else matched_expansion(shape, mixer, tuple(sorted(options.items())))
    keras.utils.set_random_seed(seed)
    return SHAPES[shape](mixer, expansion, **options)


@functools.cache
def matched_expansion(shape, mixer, options):
    """Returns the expansion ratio with which a mixer's network is as large as the reference's.

    Parameters grow in a straight line with the ratio, but for rounding to whole channels.
    """

    def count(mixer, expansion):
        return used_parameters(SHAPES[shape](mixer, expansion, **dict(options)))

    low, high = count(mixer, 2.0), count(mixer, 4.0)
    expansion = 2 + 2 * (count(REFERENCE, EXPANSION) - low) / (high - low)
    if expansion < 1:
        raise ValueError(f"{mixer!r} is larger than {REFERENCE!r} even without hidden channels to spare.")
    return expansion


def used_parameters(model):
    """Returns the number of weights that can change an output: all but the masked taps of causal kernels."""
    blocks = [layer for layer in model.layers if isinstance(layer, GatedCNNBlock)]
    causal = [block for block in blocks if block.token_mixer == "causal_conv"]
    return model.count_params() - sum(block.conv_dim * (block.kernel_size**2 // 2) for block in causal)
