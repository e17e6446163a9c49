"""Semantic segmentation: UperNet and its parts, and the classes of all pixels of photos of any size."""

from keras_mambaout.segmentation.adaptive_pooling import adaptive_average_pool
from keras_mambaout.segmentation.resize import resize_bilinear
from keras_mambaout.segmentation.pyramid_pooling import PyramidPooling
from keras_mambaout.segmentation.uper_head import UPerHead
from keras_mambaout.segmentation.auxiliary_head import AuxiliaryHead
from keras_mambaout.segmentation.upernet import UperNet, upernet
from keras_mambaout.segmentation.segment import MULTI_SCALE, segment, slide
from keras_mambaout.segmentation.palette import class_palette
from keras_mambaout.segmentation.draw import draw_scenes
