"""One function per variant, with the names, arguments and defaults of `keras.applications`.

They are written out, so that an editor shows the arguments; `create_model` explains them.
"""

import os
from collections.abc import Callable, Sequence

import keras

from keras_mambaout.models.registry import create_model


def MambaOutFemto(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_femto",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_femto: 3, 3, 9, 3 blocks of 48, 96, 192, 288 channels.

    7.3 million parameters; 78.9 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_femto", **locals())


def MambaOutKobe(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_kobe",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_kobe: 3, 3, 15, 3 blocks of 48, 96, 192, 288 channels.

    9.1 million parameters; 80.0 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_kobe", **locals())


def MambaOutTiny(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_tiny",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_tiny: 3, 3, 9, 3 blocks of 96, 192, 384, 576 channels.

    26.5 million parameters; 82.7 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_tiny", **locals())


def MambaOutSmall(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_small",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_small: 3, 4, 27, 3 blocks of 96, 192, 384, 576 channels.

    48.5 million parameters; 84.1 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_small", **locals())


def MambaOutBase(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_base",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_base: 3, 4, 27, 3 blocks of 128, 256, 512, 768 channels.

    84.8 million parameters; 84.2 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_base", **locals())


def MambaOutSmallRW(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_small_rw",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_small_rw: 3, 4, 27, 3 blocks of 96, 192, 384, 576 channels.

    48.5 million parameters; 84.0 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_small_rw", **locals())


def MambaOutBaseShortRW(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_base_short_rw",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_base_short_rw: 3, 3, 25, 3 blocks of 128, 256, 512, 768 channels.

    88.8 million parameters; 84.4 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_base_short_rw", **locals())


def MambaOutBaseTallRW(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_base_tall_rw",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_base_tall_rw: 3, 4, 30, 3 blocks of 128, 256, 512, 768 channels.

    86.5 million parameters; 84.4 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_base_tall_rw", **locals())


def MambaOutBaseWideRW(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_base_wide_rw",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_base_wide_rw: 3, 4, 27, 3 blocks of 128, 256, 512, 768 channels.

    94.4 million parameters; 84.4 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_base_wide_rw", **locals())


def MambaOutBasePlusRW(
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str = "mambaout_base_plus_rw",
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds mambaout_base_plus_rw: 3, 4, 30, 3 blocks of 128, 256, 512, 768 channels.

    101.7 million parameters; 86.6 % top-1 accuracy on ImageNet at 224 pixels.
    The arguments are those of `create_model`.
    """
    return create_model("mambaout_base_plus_rw", **locals())
