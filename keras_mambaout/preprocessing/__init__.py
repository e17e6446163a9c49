"""Images before the model: reading, resizing, augmenting, and the names of what it predicts."""

from keras_mambaout import backend
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.preprocessing.imagenet import imagenet_synsets, resize_and_center_crop
from keras_mambaout.preprocessing.fitting import letterbox

if backend.MISSING is None:
    from keras_mambaout.preprocessing.keras_applications import decode_predictions, preprocess_input
    from keras_mambaout.preprocessing.random_resized_crop import RandomResizedCrop
    from keras_mambaout.preprocessing.rand_augment import RandAugment
    from keras_mambaout.preprocessing.random_erasing import RandomErasing
    from keras_mambaout.preprocessing.mix import MixUpOrCutMix

__all__ = [
    "load_image",
    "resize_and_center_crop",
    "preprocess_input",
    "decode_predictions",
    "imagenet_synsets",
    "letterbox",
    "RandomResizedCrop",
    "RandAugment",
    "RandomErasing",
    "MixUpOrCutMix",
]

__getattr__ = backend.says_what_is_missing(__name__)
