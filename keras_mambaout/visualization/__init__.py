"""Pictures: arrays in, a picture out."""

from keras_mambaout.visualization.detections import draw_detections
from keras_mambaout.visualization.palette import distinct_colors
