"""What `--data` means for classification: a folder of class folders, or a name of TensorFlow Datasets."""

import logging
import os

from keras_mambaout.classification.class_folders import TRAINING, VALIDATION, parts_of, sub_folders
from keras_mambaout.classification.dataset import ClassificationDataset
from keras_mambaout.classification.tfds_labels import split_names
from keras_mambaout.preprocessing.imagenet import imagenet_names, imagenet_synsets

logger = logging.getLogger("keras_mambaout")
HELD_OUT = 10  # percent, where a data set has no images for validation


def training_and_validation(data: str, data_dir: str | None) -> tuple[ClassificationDataset, ClassificationDataset]:
    """Returns two data sets: the images for training, and those for validation.

    A folder has `train` and `val` (or another of `VALIDATION`) with the class folders in each, or the class folders
    directly in it. Of these, and of a TensorFlow data set with a single split, a tenth is held out for validation.
    """
    if not os.path.isdir(data):
        splits = split_names(data, data_dir)
        held_out = next((name for name in VALIDATION if name in splits), None)
        names = ("train", held_out) if held_out else (f"train[{HELD_OUT}%:]", f"train[:{HELD_OUT}%]")
        return tuple(ClassificationDataset.from_tfds(data, name, data_dir) for name in names)
    _check_options(data, {"--data-dir": data_dir})
    parts = parts_of(data)
    if not parts:
        return ClassificationDataset.from_folder(data).split(HELD_OUT / 100)
    if TRAINING not in parts:
        raise ValueError(
            f"{data!r} has {', '.join(map(repr, parts))}, but no folder {TRAINING!r}: add one, or give the folder that "
            "has the class folders directly, and a tenth of them is held out."
        )
    train = ClassificationDataset.from_folder(parts[TRAINING])
    return train, ClassificationDataset.from_folder(_validation(data, parts), train.class_names)


def for_evaluation(
    data: str, split: str | None, data_dir: str | None, names: list[str] | None
) -> ClassificationDataset:
    """Returns the images to evaluate a model on: a folder of class folders, or a split of TensorFlow Datasets.

    Of a folder that has `train` and `val` it is the part for validation, as for a training. The folder may lack some of
    the classes if these are known: `names`, which a trained model carries, and ImageNet's WordNet ids for folders that
    are named by them.
    """
    if not os.path.isdir(data):
        return ClassificationDataset.from_tfds(data, split or "validation", data_dir)
    _check_options(data, {"--split": split, "--data-dir": data_dir})
    parts = parts_of(data)
    if parts and not set(parts) <= set(names or ()):
        data = _validation(data, parts)
        logger.warning("Evaluated are the images for validation, in %r.", data)
    if names is not None and names != imagenet_names():
        return ClassificationDataset.from_folder(data, names)
    synsets = imagenet_synsets()
    return ClassificationDataset.from_folder(data, synsets if set(sub_folders(data)) <= set(synsets) else None)


def _validation(data, parts):
    """Returns the folder for validation among the parts of a data set."""
    folder = next((parts[name] for name in VALIDATION if name in parts), None)
    if folder is None:
        raise ValueError(
            f"{data!r} has a folder {TRAINING!r}, but none of {', '.join(map(repr, VALIDATION))} with class folders in "
            "it: add one, or give the folder that has the class folders directly."
        )
    return folder


def _check_options(data, options):
    given = [flag for flag, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{' and '.join(given)}: for TensorFlow Datasets only, and {data!r} is a folder.")
