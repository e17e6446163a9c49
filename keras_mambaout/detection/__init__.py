"""Object detection and instance segmentation: boxes, classes and masks of objects."""

from keras_mambaout import backend
from keras_mambaout.inference_settings import DetectionSettings
from keras_mambaout.detection.inference import detect
from keras_mambaout.detection.predicted_masks import encode_masks, paste_masks
from keras_mambaout.detection.box_formats import BOX_FORMATS
from keras_mambaout.visualization.detections import draw_detections

if backend.MISSING is None:
    from keras_mambaout.detection.dataset import CocoDataset
    from keras_mambaout.detection.label_masks import crop_masks
    from keras_mambaout.detection.rcnn.factory import mask_rcnn
    from keras_mambaout.detection.rcnn.model import MaskRCNN
    from keras_mambaout.detection.recipe import InstanceSegmentationRecipe
    from keras_mambaout.detection.non_max_suppression import MultiClassNonMaxSuppression
    from keras_mambaout.detection.evaluation import CocoMeanAveragePrecision, evaluate_detector
    from keras_mambaout.detection.average_precision import coco_metrics, format_coco_metrics
    from keras_mambaout.detection.coco_results import detections_to_results
    from keras_mambaout.detection.pictures import draw_examples

__all__ = [
    "CocoDataset",
    "crop_masks",
    "MaskRCNN",
    "mask_rcnn",
    "InstanceSegmentationRecipe",
    "DetectionSettings",
    "detect",
    "encode_masks",
    "paste_masks",
    "BOX_FORMATS",
    "MultiClassNonMaxSuppression",
    "CocoMeanAveragePrecision",
    "evaluate_detector",
    "coco_metrics",
    "format_coco_metrics",
    "detections_to_results",
    "draw_detections",
    "draw_examples",
]

__getattr__ = backend.says_what_is_missing(__name__)
