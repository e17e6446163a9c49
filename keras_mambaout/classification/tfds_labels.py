"""Classification sets of TensorFlow Datasets: `imagenet2012` and others with an image and its class."""

import os
from typing import Any

import numpy as np

from keras_mambaout.data.tfds import TfdsRecords, find_builder, prepare
from keras_mambaout.extras import import_extra

SHUFFLE_BUFFER = 16384  # encoded images, about 1.8 GB of ImageNet's


class TfdsLabels(TfdsRecords):
    """The images of a split of TensorFlow Datasets, each with a class.

    Args:
        name: Name of a data set with the features `"image"` and `"label"`.
        split: `"train"`, `"train[:10%]"`, `"train+validation"`, ...
        data_dir: Folder of prepared data; default that of TensorFlow Datasets.

    Raises:
        ValueError: If there is no such data set or split, or it has other features.
    """

    def __init__(self, name: str, split: str = "train", data_dir: str | os.PathLike | None = None) -> None:
        builder = _prepared_builder(name, data_dir)
        self.class_names = list(builder.info.features["label"].names)
        super().__init__(builder, split, ("image", "label"), SHUFFLE_BUFFER)

    def parse(self, sample: Any) -> tuple[tuple, Any]:
        """Returns what `load` takes, as tensors, and the class of a sample."""
        _, file, row, record = sample
        example = self.deserialize(record)
        return (file, row, example["image"]), example["label"]


def split_names(name: str, data_dir: str | os.PathLike | None = None) -> list[str]:
    """Returns the names of the splits of a data set of TensorFlow Datasets."""
    return sorted(_prepared_builder(name, data_dir).info.splits)


def _prepared_builder(name, data_dir):
    builder = find_builder(
        name,
        data_dir,
        ", and there is no such folder. Data sets with a class for each image are 'imagenet2012', 'cifar10', "
        "'tf_flowers' and many more",
    )
    _check_features(name, builder.info.features)
    prepare(builder)
    return builder


def _check_features(name, features):
    tfds = import_extra("tensorflow_datasets", "data")
    keys = sorted(features)
    label = features["label"] if "label" in keys else None
    if "image" not in keys or not isinstance(label, tfds.features.ClassLabel):
        kinds = ", ".join(f"{key!r} ({type(features[key]).__name__})" for key in keys)
        raise ValueError(
            f"The data set {name!r} must have the features 'image' and 'label' (ClassLabel), it has {kinds}."
        )
    info = features["image"].get_tensor_info()
    shape, dtype = info.shape, np.dtype(info.np_dtype).name
    if len(shape) != 3 or shape[-1] not in (1, 3, 4) or dtype not in ("uint8", "uint16"):
        raise ValueError(
            f"The images of {name!r} must be uint8 or uint16, (H, W, 1), (H, W, 3) or (H, W, 4), they are {dtype}, "
            f"{shape}."
        )
