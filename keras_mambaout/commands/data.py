"""What `--data` means: a folder of class folders, or a name of TensorFlow Datasets."""

import os

from keras_mambaout.classification.dataset import ClassificationDataset
from keras_mambaout.classification.tfds_labels import split_names
from keras_mambaout.preprocessing.imagenet import imagenet_synsets

VALIDATION_NAMES = ("val", "validation", "test")
HELD_OUT = 10  # percent, where a data set has no images of its own for validation


def training_and_validation(data, data_dir):
    """Returns two data sets: the images for training, and those for validation.

    A folder holds `train` and `val` (or `validation`, or `test`) with the class folders in each, or the class
    folders themselves. From these, and from a TensorFlow data set of a single split, a tenth is held out.
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


def for_evaluation(data, split, data_dir, model):
    """Returns the images to evaluate a model on: those of a folder of class folders, or of a split.

    Folders may be fewer than the classes where these are known: from `classes.txt` beside a trained model,
    and for folders that have ImageNet's synset ids as names.
    """
    if not os.path.isdir(data):
        return ClassificationDataset.from_tfds(data, split, data_dir)
    names = os.path.join(os.path.dirname(model), "classes.txt")
    if model.endswith(".keras") and os.path.isfile(names):
        with open(names, encoding="utf-8") as file:
            return ClassificationDataset.from_folder(data, file.read().splitlines())
    folders = [entry.name for entry in os.scandir(data) if entry.is_dir() and not entry.name.startswith(".")]
    synsets = imagenet_synsets()
    return ClassificationDataset.from_folder(data, synsets if set(folders) <= set(synsets) else None)
