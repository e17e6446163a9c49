"""Files of a data set for semantic segmentation: images, and PNGs with the class of each pixel."""

import concurrent.futures
import logging
import os
from collections.abc import Iterable

import numpy as np
from PIL import Image

from keras_mambaout.data.image_files import EXTENSIONS, ImageFiles, check_folder
from keras_mambaout.data.reader import LabelError
from keras_mambaout.preprocessing.reading import readable_formats, unreadable

logger = logging.getLogger(__name__)
IGNORED = 255  # label of pixels that do not count
INDEX_MODES = ("L", "P", "1", "I", "I;16")  # Pillow's modes with one number per pixel
UNSCALED = {"L;2": 85, "L;4": 17}  # what Pillow multiplies the pixels of greyscale PNGs of few bits by


class LabelMapFiles(ImageFiles):
    """Pairs of images and label maps, in two folders and with equal names but for the ending.

    Images that are not there are unreadable images, as damaged ones are.

    Args:
        images: Folder of images.
        labels: Folder of label maps, PNGs.
        label_ids: The number that each class has in the PNGs, in order.
        ignore_ids: Numbers in the PNGs of pixels that do not count.

    Raises:
        ValueError: If a folder is missing, or there are no pairs.
    """

    def __init__(
        self,
        images: str | os.PathLike,
        labels: str | os.PathLike,
        label_ids: Iterable[int],
        ignore_ids: Iterable[int],
    ) -> None:
        folders = images, labels
        images, labels = (_files(folder, endings) for folder, endings in ((images, EXTENSIONS), (labels, (".png",))))
        names = sorted(labels)
        if not set(images) & set(labels):
            raise ValueError(
                f"{_problem(labels, folders)}. The image of labels/street.png is images/street.jpg (or another ending)."
            )
        unlabelled = len(set(images) - set(labels))
        if unlabelled:
            logger.warning("%d of %d images have no label map, they are left out.", unlabelled, len(images))
        ending = os.path.splitext(next(iter(images.values())))[1]  # of images that are not there
        super().__init__([images.get(name, os.path.join(folders[0], name + ending)) for name in names])
        self.label_paths = [labels[name] for name in names]
        self.label_ids = list(label_ids)
        self._classes = np.full(2**16, -1, "int16")  # number in the file -> class
        self._classes[list(ignore_ids)] = IGNORED
        self._classes[self.label_ids] = np.arange(len(self.label_ids))

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns an image, uint8 `(H, W, 3)`, and its label map, uint8 `(H, W)`; an error names the file."""
        image, labels = super().load(index), self.load_labels(index)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"{self.paths[index]!r} is {image.shape[1]} pixels wide and {image.shape[0]} high (upright, as EXIF "
                f"says), its label map {self.label_paths[index]!r} is {labels.shape[1]} x {labels.shape[0]}. Use the "
                "images that the label maps were made for."
            )
        return image, labels

    def load_labels(self, index: int) -> np.ndarray:
        """Returns a label map, uint8 `(H, W)`; an error names the file."""
        path = self.label_paths[index]
        numbers = _read_numbers(path)
        labels = self._classes[np.clip(numbers, 0, 2**16 - 1)]
        outside = (labels < 0) | (numbers < 0) | (numbers >= 2**16)
        if outside.any():
            wrong = ", ".join(map(str, np.unique(numbers[outside])[:5]))
            raise LabelError(
                f"{path!r} has pixels of {wrong}, which is none of the {len(self.label_ids)} classes "
                f"({_span(self.label_ids)}) and not ignored. Give `label_ids`, the number of each class in the files, "
                "and `ignore_ids`, those of pixels that do not count."
            )
        return labels.astype("uint8")

    def check(self, indices: np.ndarray) -> None:
        """Reads these label maps; raises an error that names the first that is wrong."""

        def error_of(index):
            try:
                self.load_labels(index)
            except LabelError as error:
                return error
            return None

        with concurrent.futures.ThreadPoolExecutor() as threads:
            errors = [error for error in threads.map(error_of, indices) if error is not None]
        if errors:
            raise LabelError(f"{len(errors)} of {len(indices)} label maps are wrong, the first: {errors[0]}")


def _problem(labels, folders):
    """Returns why a folder of images and one of label maps have no pairs."""
    if labels:
        named = ", ".join(sorted(labels.values())[:3])
        return f"None of {len(labels)} label maps has an image in {os.fspath(folders[0])!r}: {named}"
    parts = sorted(entry.name for entry in os.scandir(folders[1]) if entry.is_dir())[:3]
    hint = f". It has the folders {', '.join(map(repr, parts))}: give one that has label maps directly" if parts else ""
    return f"There are no label maps, PNGs, in {os.fspath(folders[1])!r}{hint}"


def _files(folder, endings):
    """Returns the files of a folder that have one of the endings, by name without the ending."""
    folder, found = check_folder(folder), {}
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in endings or name.startswith("."):
            continue
        if stem in found:
            raise ValueError(
                f"{found[stem]!r} and {name!r} have the same name, so it is not clear whose label map it is."
            )
        found[stem] = os.path.join(folder, name)
    return found


def _read_numbers(path):
    """Returns the pixels of a PNG as they are stored, int32 `(H, W)`: of a palette the indices, not the colours."""
    try:
        with Image.open(path, formats=readable_formats()) as image:
            if image.mode not in INDEX_MODES:
                raise LabelError(
                    f"{path!r} is a colour image (mode {image.mode}); a label map has one number per pixel, the class, "
                    "as greyscale or palette PNG. Colours are not decoded: ADE20K's palette has one for two classes."
                )
            raw_mode = image.tile[0][3] if image.tile else None
            image.load()
            return np.asarray(image).astype("int32") // UNSCALED.get(raw_mode, 1)
    except LabelError:
        raise
    except Exception as error:
        raise LabelError(unreadable(repr(path), error)) from error


def _span(numbers):
    """Returns what to call the numbers of classes in an error."""
    if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"{numbers[0]} to {numbers[-1]}"
    return f"{', '.join(map(str, numbers[:5]))}{', ...' if len(numbers) > 5 else ''}"
