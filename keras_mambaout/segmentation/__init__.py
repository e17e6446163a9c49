"""Semantic segmentation: the class of each pixel."""

from keras_mambaout import backend
from keras_mambaout.inference_settings import SegmentationSettings
from keras_mambaout.segmentation.inference import MULTI_SCALE, segment, slide

if backend.MISSING is None:
    from keras_mambaout.segmentation.dataset import SegmentationDataset
    from keras_mambaout.segmentation.augmentation import SegmentationAugmentation
    from keras_mambaout.segmentation.uper.factory import upernet
    from keras_mambaout.segmentation.uper.model import UperNet
    from keras_mambaout.segmentation.uper.adaptive_pooling import adaptive_average_pool
    from keras_mambaout.segmentation.uper.resizing import resize_bilinear
    from keras_mambaout.segmentation.uper.pyramid_pooling import PyramidPooling
    from keras_mambaout.segmentation.uper.uper_head import UPerHead
    from keras_mambaout.segmentation.uper.auxiliary_head import AuxiliaryHead
    from keras_mambaout.segmentation.recipe import SemanticSegmentationRecipe
    from keras_mambaout.segmentation.evaluation import SegmentationMeanIoU, evaluate_segmenter
    from keras_mambaout.segmentation.mean_iou import confusion_matrix, format_segmentation_metrics, segmentation_metrics
    from keras_mambaout.segmentation.pictures import class_palette, draw_segmentation

__all__ = [
    "SegmentationDataset",
    "SegmentationAugmentation",
    "UperNet",
    "upernet",
    "adaptive_average_pool",
    "resize_bilinear",
    "PyramidPooling",
    "UPerHead",
    "AuxiliaryHead",
    "SemanticSegmentationRecipe",
    "SegmentationSettings",
    "MULTI_SCALE",
    "segment",
    "slide",
    "SegmentationMeanIoU",
    "evaluate_segmenter",
    "confusion_matrix",
    "format_segmentation_metrics",
    "segmentation_metrics",
    "class_palette",
    "draw_segmentation",
]

__getattr__ = backend.says_what_is_missing(__name__)
