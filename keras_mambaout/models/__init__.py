"""Backbone, classifier, the models by name, and what all models share."""

from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.scores import gives_logits
from keras_mambaout.models.registry import create_model, list_models
from keras_mambaout.models.factories import (
    MambaOutFemto,
    MambaOutKobe,
    MambaOutTiny,
    MambaOutSmall,
    MambaOutBase,
    MambaOutSmallRW,
    MambaOutBaseShortRW,
    MambaOutBaseTallRW,
    MambaOutBaseWideRW,
    MambaOutBasePlusRW,
)
from keras_mambaout.models.saved import load_model
from keras_mambaout.models.mixins import PortableOptimizer
from keras_mambaout.models.freezing import freeze_stages
from keras_mambaout.models.macs import count_macs

__all__ = [
    "MambaOutBackbone",
    "MambaOutClassifier",
    "gives_logits",
    "create_model",
    "list_models",
    "MambaOutFemto",
    "MambaOutKobe",
    "MambaOutTiny",
    "MambaOutSmall",
    "MambaOutBase",
    "MambaOutSmallRW",
    "MambaOutBaseShortRW",
    "MambaOutBaseTallRW",
    "MambaOutBaseWideRW",
    "MambaOutBasePlusRW",
    "load_model",
    "PortableOptimizer",
    "freeze_stages",
    "count_macs",
]
