"""Models on the Hugging Face hub: the folder that is uploaded, its model card, and the upload."""

from keras_mambaout.share.folder import save_for_hub
from keras_mambaout.share.push import UploadError, push_to_hub

__all__ = ["push_to_hub", "save_for_hub", "UploadError"]
