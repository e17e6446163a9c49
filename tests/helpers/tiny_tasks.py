"""A tiny model of each task, and a batch to train it with."""

import keras
import numpy as np

import keras_mambaout
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.segmentation import upernet

TASKS = ("classifier", "mask_rcnn", "upernet")
CONFIG = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
SIZE = 32


def create(task, seed=0, drop_path_rate=0.0, config=CONFIG):
    """Returns a new model, not compiled."""
    keras.utils.set_random_seed(seed)
    if task == "classifier":
        backbone = keras_mambaout.MambaOutBackbone(config, input_shape=(SIZE, SIZE, 3), drop_path_rate=drop_path_rate)
        return keras_mambaout.MambaOutClassifier(backbone, classes=3, dropout_rate=drop_path_rate)
    options = {"num_classes": 3, "weights": None, "channels": 8, "drop_path_rate": drop_path_rate}
    if task == "mask_rcnn":
        options |= {"proposals": 10, "box_samples": 8, "max_detections": 5, "confidence_threshold": 0.0}
        model = mask_rcnn(config, **options)
        kernel = model.rpn_head.objectness.kernel
        kernel.assign(100 * keras.ops.convert_to_tensor(kernel))  # scores then differ by more than rounding errors
        return model
    return upernet(config, auxiliary_channels=8, dropout_rate=drop_path_rate, **options)


def compile(model, optimizer="sgd"):
    """Compiles a model with the loss of its task."""
    model.compile(optimizer, "sparse_categorical_crossentropy" if model.name == "mambaout_classifier" else None)
    return model


def batch(task):
    """Returns two images and their labels."""
    random = np.random.RandomState(0)
    images = random.uniform(0, 255, (2, SIZE, SIZE, 3)).astype("float32")
    if task == "classifier":
        return images, np.array([0, 2])
    if task == "upernet":
        return images, random.randint(0, 3, (2, SIZE, SIZE)).astype("int32")
    boxes = np.array([[[2, 3, 20, 25]], [[5, 5, 30, 20]]], "float32")
    return images, {"boxes": boxes, "classes": np.array([[0], [2]], "int32"), "masks": np.ones((2, 1, 28, 28), "int32")}
