"""What the data sets of all tasks share: the contract, unreadable images, order, and TensorFlow Datasets."""

from keras_mambaout.data.dataset import ImageDataset

__all__ = ["ImageDataset"]
