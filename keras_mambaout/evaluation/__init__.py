"""How good a model is: one metric a file."""

from keras_mambaout.evaluation.coco_results import detections_to_results
from keras_mambaout.evaluation.coco_map import coco_metrics, format_metrics
from keras_mambaout.evaluation.evaluate_detector import CocoMeanAveragePrecision, evaluate_detector
from keras_mambaout.evaluation.evaluate_classifier import evaluate_classifier
from keras_mambaout.evaluation.mean_iou import confusion_matrix, format_scene_metrics, scene_metrics
from keras_mambaout.evaluation.evaluate_segmenter import SceneMeanIoU, evaluate_segmenter
from keras_mambaout.evaluation.pictures import draw_examples
from keras_mambaout.evaluation.macs import count_macs
