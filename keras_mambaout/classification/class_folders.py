"""Images in folders that are named after their classes."""

import copy
import os

import numpy as np

from keras_mambaout.data.image_files import EXTENSIONS
from keras_mambaout.preprocessing.reading import load_image


class ClassFolders:
    """The image files of a folder whose sub-folders are classes.

    Args:
        folder: The folder; `folder/rose/any/photo.jpg` is an image of the class `rose`.
        class_names: Names of the classes in order; default the names of the sub-folders, sorted.

    Raises:
        ValueError: If there is no such folder, a class has no images, or the names do not fit.
    """

    def __init__(self, folder, class_names=None):
        folder = os.fspath(folder)
        if not os.path.isdir(folder):
            raise ValueError(f"There is no folder of images {folder!r} (working directory {os.getcwd()!r}).")
        found = _class_folders(folder)
        self.class_names = found if class_names is None else _check_names(class_names, found, folder)
        if len(self.class_names) < 2:
            raise ValueError(
                f"A classifier needs two classes or more, {folder!r} has the only sub-folder {found[0]!r}. Each class "
                "is a sub-folder of its own; for a part of the classes give `class_names`, those of the training set."
            )
        images = {name: sorted(_find_images(os.path.join(folder, name))) for name in found}
        for name, paths in images.items():
            if not paths:
                raise ValueError(
                    f"{os.path.join(folder, name)!r} is an empty class folder: it has no image file "
                    f"({', '.join(EXTENSIONS)}). Put images there or remove it."
                )
        self._set([images.get(name, []) for name in self.class_names])

    def _set(self, images):
        """Takes a list of paths for each class."""
        self.paths = [path for paths in images for path in paths]
        self._ends = np.cumsum([len(paths) for paths in images])  # of each class, in paths

    def split(self, share):
        """Returns two sources: every `1 / share`-th image of each class is in the second, the others in the first."""
        every = round(1 / share)
        images = [paths.tolist() for paths in np.split(np.array(self.paths, object), self._ends[:-1])]
        few = [name for name, paths in zip(self.class_names, images, strict=True) if len(paths) < 2]
        if few:
            raise ValueError(f"Of classes with one image none can be held out: {', '.join(map(repr, few[:5]))}.")
        parts = copy.copy(self), copy.copy(self)
        parts[0]._set([[path for i, path in enumerate(paths) if i % every] for paths in images])
        parts[1]._set([paths[::every] for paths in images])
        return parts

    def __len__(self):
        return len(self.paths)

    def samples(self, seed=None):
        """Returns a `tf.data.Dataset` of the images' indices, in order, or shuffled as a function of `seed` `(2,)`."""
        import tensorflow as tf

        if seed is None:
            return tf.data.Dataset.range(len(self))
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self), dtype=tf.int64), seed)
        return tf.data.Dataset.from_tensor_slices(order)

    def parse(self, index):
        """Returns what `load` takes, as tensors, and the class of a sample."""
        import tensorflow as tf

        return (index,), tf.searchsorted(self._ends, [index], "right", tf.int64)[0]

    def load(self, index):
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        return load_image(self.paths[index])

    def name(self, index):
        """Returns what an image is called in messages, its path."""
        return self.paths[index]


def _class_folders(folder):
    """Returns the names of the sub-folders, sorted."""
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in visible if entry.is_dir())
    if not names:
        images = sum(entry.name.lower().endswith(EXTENSIONS) for entry in visible)
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
