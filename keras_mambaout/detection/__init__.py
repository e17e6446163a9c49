"""Detection: boxes, labels, what turns predictions into detections, and pictures of them."""

from keras_mambaout.detection.boxes import BOX_FORMATS
from keras_mambaout.detection.non_max_suppression import MultiClassNonMaxSuppression
from keras_mambaout.detection.detect import detect
from keras_mambaout.detection.draw import draw_detections
from keras_mambaout.detection.paste_masks import encode_masks, paste_masks
from keras_mambaout.detection.mask_rcnn import MaskRCNN, mask_rcnn
