"""MambaOut for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_mambaout import config
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.preprocessing.imagenet import decode_predictions, preprocess_input, resize_and_center_crop
from keras_mambaout.preprocessing.fitting import letterbox
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.models.freezing import freeze_stages
from keras_mambaout.models.saved import load_model
from keras_mambaout.models.registry import (
    MambaOutBase,
    MambaOutBasePlusRW,
    MambaOutBaseShortRW,
    MambaOutBaseTallRW,
    MambaOutBaseWideRW,
    MambaOutFemto,
    MambaOutKobe,
    MambaOutSmall,
    MambaOutSmallRW,
    MambaOutTiny,
    create_model,
    list_models,
)
from keras_mambaout.weights.download import DownloadError
from keras_mambaout.weights.loader import load_weights, save_safetensors
from keras_mambaout.weights.pretrained import list_weights
from keras_mambaout.compare import compare_backends

__version__ = "0.1.0"
