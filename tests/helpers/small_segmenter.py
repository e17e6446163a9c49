"""The smallest UperNet, a layer whose output is a weight, and small label maps on disk."""

import keras
import numpy as np
from keras import ops
from PIL import Image

from keras_mambaout.segmentation import upernet

SMALL = {"channels": 16, "auxiliary_channels": 8, "dropout_rate": 0.0}
COLOURS = np.array([(200, 30, 40), (40, 200, 30), (30, 40, 200)], "uint8")  # of three classes
CLASS_NAMES = ["red", "green", "blue"]


def create(backbone="mambaout_test", **kwargs):
    keras.utils.set_random_seed(0)
    return upernet(backbone, weights=None, **{"num_classes": 4, **SMALL, **kwargs})


class Values(keras.layers.Layer):
    """A weight that takes the place of an input."""

    def __init__(self, values):
        super().__init__()
        self.values = self.add_weight(shape=values.shape, initializer="zeros")
        self.values.assign(values)
        self.built = True

    def call(self, x, training=False):
        return ops.convert_to_tensor(self.values)


def label_map(height, width):
    """Red above, green below on the left and blue on the right, and a corner that does not count."""
    labels = np.zeros((height, width), "uint8")
    labels[height // 2 :, : width // 2], labels[height // 2 :, width // 2 :] = 1, 2
    labels[: height // 5, : width // 5] = 255
    return labels


def colours(labels):
    """The image of a label map."""
    return np.where(labels[..., None] == 255, np.uint8(128), COLOURS[np.where(labels == 255, 0, labels)])


def write(folder, sizes=((40, 60), (50, 30), (32, 32), (40, 40))):
    """Writes images and label maps of these sizes; returns what `SegmentationDataset.from_folder` takes."""
    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        labels = label_map(*size)
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
        Image.fromarray(colours(labels)).save(folder / "images" / f"{number}.png")
    return folder / "images", folder / "labels", CLASS_NAMES
