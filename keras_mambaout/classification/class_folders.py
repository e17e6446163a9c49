"""Images in folders that are named after their classes."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_mambaout.data.image_files import EXTENSIONS, ImageFiles, check_folder

TRAINING = "train"
VALIDATION = ("val", "valid", "validation", "test")


class ClassFolders(ImageFiles):
    """The image files of a folder whose sub-folders are classes.

    Args:
        folder: The folder; `folder/rose/any/photo.jpg` is an image of the class `rose`.
        class_names: Names of the classes in order; default the names of the sub-folders, sorted.

    Raises:
        ValueError: If there is no such folder, a class has no images, or the names do not fit.
    """

    def __init__(self, folder: str | os.PathLike, class_names: Iterable[str] | None = None) -> None:
        folder = check_folder(folder, "folder of images")
        if class_names is None and (parts := parts_of(folder)):
            raise ValueError(
                f"The sub-folders of {folder!r} are not classes but parts of a data set, with class folders in them: "
                f"give one of {', '.join(map(repr, parts.values()))}."
            )
        found = _class_folders(folder)
        self.class_names = found if class_names is None else _check_names(class_names, found, folder)
        if len(self.class_names) < 2:
            raise ValueError(
                f"A classifier needs two classes or more, {folder!r} has the only sub-folder {found[0]!r}. Each class "
                "must have its own sub-folder; for a part of the classes give `class_names`, those of the training set."
            )
        images = {name: sorted(_find_images(os.path.join(folder, name))) for name in found}
        for name, paths in images.items():
            if not paths:
                raise ValueError(
                    f"{os.path.join(folder, name)!r} is an empty class folder: it has no image file "
                    f"({', '.join(EXTENSIONS)}). Put images there or remove it."
                )
        images = [images.get(name, []) for name in self.class_names]
        super().__init__([path for paths in images for path in paths])
        self.labels = np.repeat(np.arange(len(images)), [len(paths) for paths in images])  # of each image

    def parse(self, sample: Any) -> tuple[tuple, Any]:
        """Returns what `load` takes, as tensors, and the class of a sample."""
        import tensorflow as tf

        return (sample,), tf.constant(self.labels, tf.int64)[sample]

    def identity(self, index: int) -> tuple:
        """Returns the name of an image, wherever its folder is, and its class."""
        return (*super().identity(index), int(self.labels[index]))

    def find(self, index: int) -> tuple[tuple, int]:
        """Returns what `load` takes, and the class of the image at an index."""
        return (index,), int(self.labels[index])


def parts_of(folder: str) -> dict[str, str]:
    """Returns the parts of a data set that a folder has instead of classes, `{"train": path, "val": path}`.

    They are sub-folders of these names with sub-folders in them, and there are no others, or there are `train` and one
    for validation. Of a folder of class folders there are none.
    """
    found = {name: os.path.join(folder, name) for name in sub_folders(folder)}
    parts = {name: found[name] for name in (TRAINING, *VALIDATION) if name in found and sub_folders(found[name])}
    return parts if len(parts) == len(found) or (TRAINING in parts and len(parts) > 1) else {}


def sub_folders(folder: str) -> list[str]:
    """Returns the names of the sub-folders that are not hidden, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _class_folders(folder):
    """Returns the names of the classes."""
    names = sub_folders(folder)
    if not names:
        images = sum(name.lower().endswith(EXTENSIONS) and name[0] != "." for name in os.listdir(folder))
        content = f"{images} images directly in it" if images else "no images"
        raise ValueError(
            f"{folder!r} has no sub-folders and {content}. Each class must be a sub-folder with its images: "
            "<folder>/<class>/<image>.jpg."
        )
    return names


def _check_names(class_names, found, folder):
    names = [class_names] if isinstance(class_names, str) else list(class_names)
    if len(names) < 2 or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`class_names` must be two or more different names, got {class_names!r}.")
    unknown = [name for name in found if name not in set(names)]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(found)} sub-folders of {folder!r} are not among the {len(names)} `class_names`: "
            f"{', '.join(map(repr, unknown[:5]))}{', ...' if len(unknown) > 5 else ''}. `class_names` must be those of "
            "the training set, and folders must be named as there."
        )
    return names


def _find_images(folder):
    """Yields the paths of the image files in a folder and the folders in it, without hidden ones."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _find_images(entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield entry.path
