"""Published weights: which there are, fetching them, and filling a model with them."""

from keras_mambaout.weights.pretrained import PUBLISHED, PublishedWeights, list_weights, resolve_weights
from keras_mambaout.weights.hub import DownloadError, HubRepository, download
from keras_mambaout.weights.loader import load_weights, save_safetensors

__all__ = [
    "PUBLISHED",
    "PublishedWeights",
    "list_weights",
    "resolve_weights",
    "DownloadError",
    "HubRepository",
    "download",
    "load_weights",
    "save_safetensors",
]
