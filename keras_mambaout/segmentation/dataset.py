"""Images with the class of each pixel: ADE20K, or any folders of images and index PNGs."""

import os
import random

from keras_mambaout.arguments import check_choice, check_edges, check_positive_integer
from keras_mambaout.extras import import_tensorflow
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.augmentation import SegmentationAugmentation
from keras_mambaout.segmentation.batches import evaluation_batches, training_batches
from keras_mambaout.segmentation.label_map_files import IGNORED, LabelMapFiles

SPLITS = ("training", "validation")
MAX_NUMBER = 2**16 - 1  # that a PNG's pixel can be


class SegmentationDataset:
    """Images whose pixels are labelled with classes.

    It is made by `from_ade20k` or `from_folder`. Classes are 0 to K - 1, class `i` is `class_names[i]`, and pixels
    that do not count have the label 255.

    Example:
    ```python
    dataset = SegmentationDataset.from_ade20k("ADEChallengeData2016", "training")
    images, labels = next(iter(dataset.batches(16, training=True)))  # (16, 512, 512, 3), 0-255, and (16, 512, 512)

    streets = SegmentationDataset.from_folder("streets/images", "streets/labels", ["road", "house", "sky"])
    ```

    Source: [Zhou et al., Scene parsing through ADE20K dataset](https://groups.csail.mit.edu/vision/datasets/ADE20K/).
    `scene_parse150` of TensorFlow Datasets is another one, with labels of the instance challenge.
    """

    def __init__(self, files, class_names, indices=None):
        self._files, self._class_names = files, list(class_names)
        self._indices = list(range(len(files.pairs))) if indices is None else list(indices)
        self._checked = False

    @classmethod
    def from_ade20k(cls, folder, split="training"):
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
        return cls(LabelMapFiles(images, labels, range(1, len(names) + 1), ignored=(0,)), names)

    @classmethod
    def from_folder(cls, images, labels, class_names, label_ids=None, ignored=(255,)):
        """Returns the data set of a folder of images and one of label maps, PNGs of the same names.

        A label map has one number for each pixel, greyscale or the index in a palette. Images without a label map are
        left out, with a warning.

        Args:
            images: Folder of images.
            labels: Folder of label maps.
            class_names: Name of each class, at most 255.
            label_ids: The number that each class has in the label maps; default 0, 1, 2, ...
            ignored: Numbers in the label maps of pixels that do not count.

        Raises:
            ValueError: If a folder is missing, a label map has no image, or the arguments do not fit.
        """
        names = [class_names] if isinstance(class_names, str) else list(class_names)
        if not 2 <= len(names) <= IGNORED or len(set(names)) < len(names):
            raise ValueError(f"`class_names` must be 2 to {IGNORED} different names, got {len(names)}: {names[:5]}.")
        label_ids = _check_numbers("label_ids", range(len(names)) if label_ids is None else label_ids)
        ignored = _check_numbers("ignored", ignored)
        both = sorted(set(ignored) & set(label_ids))
        if len(label_ids) != len(names) or both:
            raise ValueError(
                f"`label_ids` must have one number for each of the {len(names)} classes, none of them in `ignored`; "
                f"got {len(label_ids)}, {both} of them in `ignored`."
            )
        return cls(LabelMapFiles(images, labels, label_ids, ignored), names)

    def __len__(self):
        return len(self._indices)

    @property
    def class_names(self):
        """Name of each class."""
        return list(self._class_names)

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self._class_names)

    @property
    def paths(self):
        """Path of each image."""
        return [self._files.pairs[index][0] for index in self._indices]

    def load_image(self, number):
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        return load_image(self.paths[number])

    def load(self, number):
        """Returns an image, uint8 `(H, W, 3)`, and its labels, uint8 `(H, W)`, 255 where they do not count.

        Raises:
            ValueError: If the files do not fit together or the label map has other numbers than those of classes.
        """
        return self._files.load(self._indices[number])

    def subset(self, numbers):
        """Returns the data set of these images only, in this order."""
        numbers = list(numbers)
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(f"A subset needs one image or more, each once, got {len(numbers)} numbers.")
        return SegmentationDataset(self._files, self._class_names, [self._indices[number] for number in numbers])

    def check(self):
        """Reads all label maps, once.

        Raises:
            ValueError: If one is no index PNG, is not as large as its image, or has other numbers than those of
                classes; the error names the file.
        """
        if not self._checked:
            self._files.check(self._indices)
            self._checked = True

    def steps_per_epoch(self, batch_size):
        """Returns how many batches for training there are, without an incomplete last one."""
        check_positive_integer("batch_size", batch_size)
        if len(self) < batch_size:
            raise ValueError(
                f"{len(self)} images are not one batch of {batch_size}. Use a smaller `batch_size` or more images."
            )
        return len(self) // batch_size

    def batches(
        self,
        batch_size=16,
        crop_size=512,
        shortest_edge=512,
        longest_edge=2048,
        training=False,
        augmentation=None,
        seed=None,
        epochs=None,
    ):
        """Returns batches of images and labels, for `model.fit` on any backend.

        Images keep their aspect ratio: the short side becomes `shortest_edge`, unless the long side would be more than
        `longest_edge`. What a crop has beyond its image, at the bottom and the right, has ImageNet's mean colour and the
        label 255. All label maps are read once before, so that a wrong one does not end a long training.

        Args:
            batch_size: Images in a batch.
            crop_size: Side of the crops: random ones in training, else those of the centre. `None`, not for
                training, gives whole images, in batches as large as their largest.
            shortest_edge: See above.
            longest_edge: See above.
            training: Whether images are shuffled anew each epoch and augmented, and the incomplete last batch is
                left out. Otherwise all images come in order.
            augmentation: For training, a `SegmentationAugmentation`; `None` is the paper's.
            seed: Integer that makes shuffling and augmentation reproducible: those of an epoch are a function of it
                and the epoch's number.
            epochs: For training, `(first, stop)` for one stream of these epochs; or `None` for one epoch, and the next
                one each time it is read: 0, 1, ... (as `ClassificationDataset.batches` has it).

        Returns:
            A `tf.data.Dataset` of `(images, labels)`: float32 `(B, H, W, 3)`, RGB, 0-255, and int32 `(B, H, W)`.

        Raises:
            ValueError: If an argument is outside of what is listed above, or a label map is wrong.
            ImportError: If TensorFlow is not installed.
        """
        import_tensorflow()
        check_positive_integer("batch_size", batch_size)
        _check_sizes(crop_size, shortest_edge, longest_edge, training)
        _check_training(training, augmentation, seed, epochs)
        sides = (shortest_edge, longest_edge)
        if not training:
            self.check()
            return evaluation_batches(self, batch_size, crop_size, sides)
        self.steps_per_epoch(batch_size)
        self.check()
        seed = random.randrange(2**31) if seed is None else seed
        augmentation = augmentation or SegmentationAugmentation()
        return training_batches(self, batch_size, crop_size, sides, augmentation, seed, epochs)


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


def _check_training(training, augmentation, seed, epochs):
    if augmentation is not None and not isinstance(augmentation, SegmentationAugmentation):
        raise ValueError(f"`augmentation` must be a SegmentationAugmentation or None, got {augmentation!r}.")
    if not training and (augmentation is not None or epochs is not None):
        raise ValueError("`augmentation` and `epochs` are for training: use `training=True`, or leave them out.")
    if epochs is not None and (not isinstance(epochs, tuple) or len(epochs) != 2 or not 0 <= epochs[0] < epochs[1]):
        raise ValueError(f"`epochs` must be None or (first, stop) with 0 <= first < stop, got {epochs!r}.")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"`seed` must be an integer or None, got {seed!r}.")
