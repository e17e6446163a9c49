"""Images with the class of each pixel: ADE20K, or any folders of images and index PNGs."""

import os
from collections.abc import Iterable
from typing import Any

from keras_mambaout.arguments import check_choice, check_edges, check_positive_integer
from keras_mambaout.data.dataset import ImageDataset, check_full
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation
from keras_mambaout.segmentation.batches import evaluation_batches, training_batches
from keras_mambaout.segmentation.label_map_files import IGNORED, LabelMapFiles

SPLITS = ("training", "validation")
MAX_NUMBER = 2**16 - 1  # that a PNG's pixel can be


class SegmentationDataset(ImageDataset):
    """Images whose pixels are labelled with classes.

    It is made by `from_ade20k` or `from_folder`. Classes are 0 to K - 1, class `i` is `class_names[i]`, and pixels
    that do not count have the label 255. `load(index)` returns an image and its label map, uint8 `(H, W)`. Images that
    cannot be read, or that are not as large as their label map, are left out; each is named once in a warning, and all
    in `unreadable`.

    Example:
    ```python
    dataset = SegmentationDataset.from_ade20k("ADEChallengeData2016", "training")
    images, labels = next(iter(dataset.batches(16, training=True)))  # (16, 512, 512, 3), 0-255, and (16, 512, 512)

    streets = SegmentationDataset.from_folder("streets/images", "streets/labels", ["road", "house", "sky"])
    ```

    Source: [Zhou et al., Scene parsing through ADE20K dataset](https://groups.csail.mit.edu/vision/datasets/ADE20K/).
    `scene_parse150` of TensorFlow Datasets is a different data set, with the labels of the instance challenge.
    """

    def __init__(self, files: LabelMapFiles, class_names: Iterable[str]) -> None:
        super().__init__(files, class_names)
        self._checked = False

    @classmethod
    def from_ade20k(cls, folder: str | os.PathLike, split: str = "training") -> "SegmentationDataset":
        """Returns a split of ADE20K, 150 classes; in its files they are 1 to 150, and 0 does not count.

        Args:
            folder: The folder `ADEChallengeData2016`, with `images/<split>` and `annotations/<split>`.
            split: `"training"` (20,210 images) or `"validation"` (2,000).

        Raises:
            ValueError: If there is no such split, or files are missing.
        """
        check_choice("split", split, SPLITS)
        images, labels = (os.path.join(os.fspath(folder), part, split) for part in ("images", "annotations"))
        names, _ = ade20k_classes()
        return cls(LabelMapFiles(images, labels, range(1, len(names) + 1), ignore_ids=(0,)), names)

    @classmethod
    def from_folder(
        cls,
        images: str | os.PathLike,
        labels: str | os.PathLike,
        class_names: Iterable[str],
        label_ids: Iterable[int] | None = None,
        ignore_ids: Iterable[int] = (255,),
    ) -> "SegmentationDataset":
        """Returns the data set of a folder of images and one of label maps, PNGs of the same names.

        A label map has one number for each pixel, greyscale or the index in a palette. Images without a label map are
        left out, with a warning; label maps without an image are left out as those of unreadable images.

        Args:
            images: Folder of images.
            labels: Folder of label maps.
            class_names: Name of each class, at most 255.
            label_ids: The number that each class has in the label maps; default 0, 1, 2, ...
            ignore_ids: Numbers in the label maps of pixels that do not count.

        Raises:
            ValueError: If a folder is missing, no label map has an image, or the arguments do not fit.
        """
        names = [class_names] if isinstance(class_names, str) else list(class_names)
        if not 2 <= len(names) <= IGNORED or len(set(names)) < len(names):
            raise ValueError(f"`class_names` must be 2 to {IGNORED} different names, got {len(names)}: {names[:5]}.")
        label_ids = _check_numbers("label_ids", range(len(names)) if label_ids is None else label_ids)
        ignore_ids = _check_numbers("ignore_ids", ignore_ids)
        both = sorted(set(ignore_ids) & set(label_ids))
        if len(label_ids) != len(names) or both:
            raise ValueError(
                f"`label_ids` must have one number for each of the {len(names)} classes, none of them in `ignore_ids`; "
                f"got {len(label_ids)}, {both} of them in `ignore_ids`."
            )
        return cls(LabelMapFiles(images, labels, label_ids, ignore_ids), names)

    @property
    def paths(self) -> list[str]:
        """Path of each image."""
        return [self._source.paths[index] for index in self._indices]

    def _example(self, loaded, label):
        return loaded

    def check(self) -> None:
        """Reads all label maps, once.

        Raises:
            ValueError: If one is no index PNG, or has other numbers than those of classes; the error names the file.
        """
        if not self._checked:
            self._source.check(self._indices)
            self._checked = True

    def batches(
        self,
        batch_size: int,
        *,
        training: bool = False,
        seed: int = 0,
        epochs: tuple[int, int] | None = None,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
        crop_size: int | None = 512,
        shortest_edge: int = 512,
        longest_edge: int = 2048,
        augmentation: SegmentationAugmentation | None = None,
        full: bool = False,
    ) -> Any:
        """Returns batches of images and labels, for `model.fit` on any backend.

        Images keep their aspect ratio: the short side becomes `shortest_edge`, unless the long side would be more than
        `longest_edge`. What a crop has beyond its image, at the bottom and the right, has ImageNet's mean colour and
        the label 255. All label maps are read once before, so that a wrong one does not end a long training.

        Without training all images come in order, and the last batch may be smaller. In training images are shuffled
        anew each epoch and augmented, both as a function of `seed` and the epoch's number, and the incomplete last
        batch is left out. Unreadable images are left out: without training the number of batches is therefore not
        known before (Keras then warns that the "input ran out of data"); in training the next image of the data set
        comes in the place of one, so that an epoch always has `steps_per_epoch` batches.

        Args:
            batch_size: Images in a batch, of all shards together.
            training: Whether images are for training, or in order.
            seed: Integer of 0 or more that order and augmentation in training depend on.
            epochs: In training, `(first, stop)` for one stream of these epochs; or `None` for one epoch, and the next
                one each time it is read: 0, 1, ... (as for `ClassificationDataset.batches`).
            first_step: The batch that the first of `epochs` begins with, for going on inside of it (as for
                `ClassificationDataset.batches`).
            shard: `(index, count)`, for several devices or hosts: this shard's images of each batch;
                `batch_size` must be a multiple of `count`.
            crop_size: Side of the crops: random ones in training, otherwise those of the centre. `None`, not for
                training, gives whole images, in batches as large as their largest.
            shortest_edge: See above.
            longest_edge: See above.
            augmentation: For training, a `SegmentationAugmentation`; `None` is the paper's.
            full: Whether all batches are full, also where images are unreadable, and their number is known: not for
                training, whose batches always are. No pixel of what fills them up counts: all labels are 255. All
                shards then have equally many batches, of the same images as on one device.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`: float32 `(B, H, W, 3)`, RGB, 0-255, and int32 `(B, H, W)`.

        Raises:
            ValueError: If an argument is outside of what is listed above, a label map is wrong, or no image is
                readable.
            ImportError: If TensorFlow is not installed.
        """
        plan = self._plan(batch_size, training, seed, epochs, first_step, shard)
        _check_sizes(crop_size, shortest_edge, longest_edge, training)
        _check_augmentation(augmentation, training)
        check_full(full, training)
        self.check()
        plan.reader.check(plan.indices)
        sides = (shortest_edge, longest_edge)
        if training:
            return training_batches(plan, crop_size, sides, augmentation or SegmentationAugmentation())
        return evaluation_batches(plan, crop_size, sides, full)


def _check_numbers(name, numbers):
    numbers = list(numbers) if isinstance(numbers, (tuple, list, range, set)) else [numbers]
    valid = all(isinstance(number, int) and 0 <= number <= MAX_NUMBER for number in numbers)
    if not valid or len(set(numbers)) < len(numbers):
        raise ValueError(f"`{name}` must be different integers from 0 to {MAX_NUMBER}, got {numbers[:5]}.")
    return numbers


def _check_sizes(crop_size, shortest_edge, longest_edge, training):
    if crop_size is not None or training:
        check_positive_integer("crop_size", crop_size)
    check_edges(shortest_edge, longest_edge)


def _check_augmentation(augmentation, training):
    if augmentation is not None and not isinstance(augmentation, SegmentationAugmentation):
        raise ValueError(f"`augmentation` must be a SegmentationAugmentation or None, got {augmentation!r}.")
    if augmentation is not None and not training:
        raise ValueError("`augmentation` is for training: use `training=True`, or leave it out.")
