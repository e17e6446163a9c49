"""Builds UperNet with the paper's settings."""

import os
from typing import Any

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.layers.composite import rematerialized
from keras_mambaout.models.dense_prediction import dense_prediction_backbone
from keras_mambaout.segmentation.uper.model import UperNet


def upernet(
    backbone: str | MambaOutConfig | keras.Model = "mambaout_tiny",
    num_classes: int = 150,
    weights: str | os.PathLike | None = "imagenet",
    drop_path_rate: float | None = None,
    dtype: Any = None,
    rematerialize: bool = False,
    **kwargs: Any,
) -> UperNet:
    """Builds UperNet over a MambaOut backbone with the paper's settings.

    Args:
        backbone: Name of a variant (`keras_mambaout.list_models()`) or a `MambaOutConfig`; or a
            `MambaOutBackbone` with `output_norms=True`.
        num_classes: Number of classes.
        weights: Weights of the backbone: `"imagenet"`, a tag, a path or `None`, as for `MambaOutBackbone`.
        drop_path_rate: Stochastic depth of the backbone; `None` is the paper's rate for segmentation (tiny 0.3,
            small 0.4, base 0.6).
        dtype: Dtype policy, such as `"mixed_bfloat16"`; `None` is Keras' global one.
        rematerialize: Whether training computes anew, in the backward pass, what happens inside each block of the
            backbone and inside each `ConvNormReLU` of the heads, instead of keeping it: less memory, more time, equal
            numbers. It is of this object and not saved with it. A backbone that is given as a model stays as it is,
            and so do the heads where several devices of TensorFlow or PyTorch share a batch.
        **kwargs: Further arguments of `UperNet`, such as `ignore_index`.

    Returns:
        A `UperNet`, to be compiled with an optimizer and without a loss.

    Raises:
        ValueError: If an argument is outside what is listed above.

    Example:
    ```python
    model = upernet("mambaout_small", num_classes=3)  # 76 M parameters with ADE20K's 150 classes
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992), section on ADE20K.
    """
    check_positive_integer("num_classes", num_classes)
    with rematerialized(rematerialize):
        backbone = dense_prediction_backbone(backbone, weights, drop_path_rate, pad_to_multiple=1, dtype=dtype)
        return UperNet(backbone, num_classes, dtype=dtype, **kwargs)
