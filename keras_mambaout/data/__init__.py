"""Data sets, as `tf.data` pipelines for any backend."""

from keras_mambaout.data.classification import ClassificationDataset
from keras_mambaout.data.coco import CocoDataset
from keras_mambaout.data.masks import crop_masks
from keras_mambaout.data.scene_augmentation import SceneAugmentation
from keras_mambaout.data.ade20k import SceneDataset
