"""Classification: the class of an image."""

from keras_mambaout import backend
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.classification.inference import classify

if backend.MISSING is None:
    from keras_mambaout.classification.dataset import ClassificationDataset
    from keras_mambaout.classification.augmentation import ClassificationAugmentation
    from keras_mambaout.classification.recipe import ClassificationRecipe
    from keras_mambaout.classification.evaluation import evaluate_classifier
    from keras_mambaout.classification.pictures import draw_batch, draw_confusion_matrix

__all__ = [
    "ClassificationDataset",
    "ClassificationAugmentation",
    "ClassificationRecipe",
    "ClassificationSettings",
    "classify",
    "evaluate_classifier",
    "draw_batch",
    "draw_confusion_matrix",
]

__getattr__ = backend.says_what_is_missing(__name__)
