"""The backbone as the heads of detection and segmentation need it."""

import os
from collections.abc import Sequence

import keras

from keras_mambaout.config import DENSE_PREDICTION_DROP_PATH_RATES, MambaOutConfig
from keras_mambaout.models.backbone import MambaOutBackbone

ALL_LEVELS = (2, 3, 4, 5)


def dense_prediction_backbone(
    backbone: str | MambaOutConfig | MambaOutBackbone,
    weights: str | os.PathLike | None,
    drop_path_rate: float | None = None,
    pad_to_multiple: int = 32,
    levels: Sequence[int] = ALL_LEVELS,
    dtype: str | keras.DTypePolicy | None = None,
) -> MambaOutBackbone:
    """Builds, or checks, a backbone with output norms whose levels fit together at any image size.

    Args:
        backbone: Name of a variant or a `MambaOutConfig`; or a `MambaOutBackbone`, which is used as
            it is.
        weights: As for `MambaOutBackbone`; not used if `backbone` is a model.
        drop_path_rate: As for `MambaOutBackbone`; `None` is the paper's for detection and
            segmentation (`config.DENSE_PREDICTION_DROP_PATH_RATES`). Not used if `backbone` is a model.
        pad_to_multiple: What the head needs height and width to be multiples of.
        levels: The pyramid levels that the head reads. The norms of the others are frozen, since no
            gradient reaches them.
        dtype: Dtype policy; not used if `backbone` is a model.

    Raises:
        ValueError: If a model is given that has no output norms, or pads too little.
    """
    if isinstance(backbone, MambaOutBackbone):
        if not backbone.output_norms or backbone.pad_to_multiple % pad_to_multiple:
            raise ValueError(
                f"The head needs a MambaOutBackbone with output_norms=True and pad_to_multiple={pad_to_multiple} "
                f"(or a multiple of that), got output_norms={backbone.output_norms} and "
                f"pad_to_multiple={backbone.pad_to_multiple}."
            )
        return backbone
    if drop_path_rate is None:
        drop_path_rate = DENSE_PREDICTION_DROP_PATH_RATES.get(backbone, 0.0) if isinstance(backbone, str) else 0.0
    return MambaOutBackbone(
        backbone,
        weights=weights,
        output_norms=True,
        drop_path_rate=drop_path_rate,
        pad_to_multiple=pad_to_multiple,
        data_format="channels_last",
        frozen_layers=[f"output_norms_{level - 2}" for level in ALL_LEVELS if level not in levels],
        dtype=dtype,
    )
