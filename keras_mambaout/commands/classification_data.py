"""What `--data` means for classification: a folder of class folders, or a name of TensorFlow Datasets."""

import os

from keras_mambaout.classification.dataset import ClassificationDataset
from keras_mambaout.classification.tfds_labels import split_names
from keras_mambaout.preprocessing.imagenet import imagenet_names, imagenet_synsets

VALIDATION_NAMES = ("val", "validation", "test")
HELD_OUT = 10  # percent, where a data set has no images for validation


def training_and_validation(data: str, data_dir: str | None) -> tuple[ClassificationDataset, ClassificationDataset]:
    """Returns two data sets: the images for training, and those for validation.

    A folder has `train` and `val` (or `validation`, or `test`) with the class folders in each, or the class folders
    directly in it. Of these, and of a TensorFlow data set with a single split, a tenth is held out for validation.
    """
    if not os.path.isdir(data):
        splits = split_names(data, data_dir)
        held_out = next((name for name in VALIDATION_NAMES if name in splits), None)
        names = ("train", held_out) if held_out else (f"train[{HELD_OUT}%:]", f"train[:{HELD_OUT}%]")
        return tuple(ClassificationDataset.from_tfds(data, name, data_dir) for name in names)
    if not os.path.isdir(os.path.join(data, "train")):
        return ClassificationDataset.from_folder(data).split(HELD_OUT / 100)
    train = ClassificationDataset.from_folder(os.path.join(data, "train"))
    folder = next(
        (os.path.join(data, name) for name in VALIDATION_NAMES if os.path.isdir(os.path.join(data, name))), None
    )
    if folder is None:
        raise ValueError(
            f"{data!r} has a folder 'train', but none of {', '.join(map(repr, VALIDATION_NAMES))}: add one, or give "
            "the folder that has the class folders directly, and a tenth of them is held out."
        )
    return train, ClassificationDataset.from_folder(folder, train.class_names)


def for_evaluation(data: str, split: str, data_dir: str | None, names: list[str] | None) -> ClassificationDataset:
    """Returns the images to evaluate a model on: a folder of class folders, or a split of TensorFlow Datasets.

    The folder may lack some of the classes if these are known: `names`, which a trained model carries, and ImageNet's
    WordNet ids for folders that are named by them.
    """
    if not os.path.isdir(data):
        return ClassificationDataset.from_tfds(data, split, data_dir)
    if names is not None and names != imagenet_names():
        return ClassificationDataset.from_folder(data, names)
    folders = [entry.name for entry in os.scandir(data) if entry.is_dir() and not entry.name.startswith(".")]
    synsets = imagenet_synsets()
    return ClassificationDataset.from_folder(data, synsets if set(folders) <= set(synsets) else None)
