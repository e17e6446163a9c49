"""MambaOut for Keras 3, on TensorFlow, JAX and PyTorch.

The models and what they need are imported here. The tasks and tools are packages of their own, which
are imported when they are used: `keras_mambaout.detection.mask_rcnn` or
`from keras_mambaout.detection import mask_rcnn`.
"""

import importlib
from typing import TYPE_CHECKING

from keras_mambaout import backend  # first: it says which backend is missing
from keras_mambaout import config
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.fitting import letterbox

if backend.MISSING is None:
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
    from keras_mambaout.models.registry import create_model, list_models
    from keras_mambaout.models.backbone import MambaOutBackbone
    from keras_mambaout.models.classifier import MambaOutClassifier
    from keras_mambaout.models.freezing import freeze_stages
    from keras_mambaout.models.saved import load_model
    from keras_mambaout.weights.pretrained import list_weights
    from keras_mambaout.weights.loader import load_weights, save_safetensors
    from keras_mambaout.weights.hub import DownloadError
    from keras_mambaout.preprocessing.keras_applications import decode_predictions, preprocess_input
    from keras_mambaout.serialization import serializable_later

if TYPE_CHECKING:  # at run time `__getattr__` imports them
    from keras_mambaout import (
        classification,
        compare,
        detection,
        exporting,
        integrations,
        segmentation,
        share,
        training,
        visualization,
    )
    from keras_mambaout.compare import compare_backends
    from keras_mambaout.exporting import export, load_exported
    from keras_mambaout.share import UploadError, push_to_hub, save_for_hub

__version__ = "0.1.0"

__all__ = [
    # models by name
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
    "create_model",
    "list_models",
    "load_model",
    # models of your own shape
    "MambaOutConfig",
    "MambaOutBackbone",
    "MambaOutClassifier",
    "freeze_stages",
    # weights
    "list_weights",
    "load_weights",
    "save_safetensors",
    "DownloadError",
    # sharing
    "push_to_hub",
    "save_for_hub",
    "UploadError",
    # photos in, names out
    "load_image",
    "resize_and_center_crop",
    "letterbox",
    "preprocess_input",
    "decode_predictions",
    # imported when they are used
    "classification",
    "detection",
    "segmentation",
    "training",
    "visualization",
    "integrations",
    "compare",
    "compare_backends",
    "share",
    "exporting",
    "export",
    "load_exported",
]

_says_what_is_missing = backend.says_what_is_missing(__name__)
_PACKAGES = (
    "classification",
    "detection",
    "segmentation",
    "training",
    "visualization",
    "integrations",
    "compare",
    "share",
    "exporting",
)
_WITHOUT_KERAS = ("classification", "detection", "segmentation", "visualization", "exporting", "load_exported")
_LATER = {
    "compare_backends": "compare",
    "export": "exporting",
    "load_exported": "exporting",
    "push_to_hub": "share",
    "save_for_hub": "share",
    "UploadError": "share",
}
_SAVED = {  # classes of those packages that a .keras file may hold
    "training": ("AdamW", "Warmup", "WarmupCosine", "WarmupPolynomial", "WarmupSteps"),
    "detection": ("MaskRCNN", "FeaturePyramid", "RPNHead", "BoxHead", "MaskHead", "MultiClassNonMaxSuppression"),
    "segmentation": ("UperNet", "PyramidPooling", "UPerHead", "AuxiliaryHead", "ConvNormReLU"),
}
if backend.MISSING is None:
    for _package, _names in _SAVED.items():
        serializable_later(f"{__name__}.{_package}", _names)


def __getattr__(name):
    if backend.MISSING is not None and name not in _WITHOUT_KERAS:
        return _says_what_is_missing(name)
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    return _says_what_is_missing(name)


def __dir__():
    return sorted({*globals(), *__all__})
