"""Images with one class each, from folders or TensorFlow Datasets."""

import functools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.classification.augmentation import ClassificationAugmentation
from keras_mambaout.classification.batches import evaluation_batches, training_batches
from keras_mambaout.classification.class_folders import ClassFolders
from keras_mambaout.classification.tfds_labels import TfdsLabels
from keras_mambaout.data.dataset import ImageDataset
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop

LABEL_MODES = ("int", "categorical")


class ClassificationDataset(ImageDataset):
    """Images with one class each: a folder of class folders, or TensorFlow Datasets.

    It is made by `from_folder` or `from_tfds`. Class `i` is `class_names[i]`, and `load(index)` returns an image and
    the number of its class. Images that cannot be read are left out; each is named once in a warning, and all in
    `unreadable`.

    Example:
    ```python
    flowers = ClassificationDataset.from_folder("flowers/train")  # flowers/train/rose/1.jpg, ...
    held_out = ClassificationDataset.from_folder("flowers/val", flowers.class_names)
    train = flowers.batches(32, training=True, epochs=(0, 10))
    images, labels = next(iter(train))  # (32, 224, 224, 3), 0-255, and (32,)
    model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    steps = flowers.steps_per_epoch(32)
    model.fit(train, steps_per_epoch=steps, epochs=10, validation_data=held_out.batches(32, weighted=True))

    imagenet = ClassificationDataset.from_tfds("imagenet2012", split="validation")
    ```
    """

    def __init__(self, source: ClassFolders | TfdsLabels) -> None:
        super().__init__(source, source.class_names)

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike, class_names: Iterable[str] | None = None
    ) -> "ClassificationDataset":
        """Returns the data set of a folder whose sub-folders are classes.

        Image files are found in sub-folders of any depth; hidden ones are ignored.

        Args:
            folder: The folder.
            class_names: Names of the classes in order, those of the training set, for a folder that may
                not have all of them; default the names of the sub-folders, sorted.

        Raises:
            ValueError: If there is no such folder, it has fewer than two classes or an empty one, or a
                class that is not among `class_names`.
        """
        return cls(ClassFolders(folder, class_names))

    @classmethod
    def from_tfds(
        cls, name: str, split: str = "train", data_dir: str | os.PathLike | None = None
    ) -> "ClassificationDataset":
        """Returns the data set of a split of TensorFlow Datasets.

        What is not there yet is downloaded and prepared, as `tfds.load` does.

        Args:
            name: `"imagenet2012"`, `"cifar10"`, or another with the features `"image"` and `"label"`.
            split: `"train"`, `"validation"`, `"train[:10%]"`, `"train+validation"`, ...
            data_dir: Folder of prepared data; default that of TensorFlow Datasets.

        Raises:
            ValueError: If there is no such data set or split, it has other features, or it is not stored
                as TFRecord files.
        """
        return cls(TfdsLabels(name, split, data_dir))

    def split(self, share: float) -> tuple["ClassificationDataset", "ClassificationDataset"]:
        """Returns two data sets of a folder's images: those for training, and a share that is held out.

        Args:
            share: Above 0 and at most 0.5: every `1 / share`-th image of each class is held out, from the first.

        Raises:
            ValueError: If `share` is out of range, a class has only one image, or this is no folder: splits of
                TensorFlow Datasets are named, `"train[10%:]"` and `"train[:10%]"`.
        """
        if not isinstance(self._source, ClassFolders):
            raise ValueError("Name the splits of TensorFlow Datasets: split='train[10%:]' and split='train[:10%]'.")
        if not isinstance(share, float) or not 0.0 < share <= 0.5:
            raise ValueError(f"`share` must be a number above 0 and at most 0.5, got {share!r}.")
        labels, every = self._source.labels[self._indices], round(1 / share)
        places = [np.flatnonzero(labels == index) for index in range(self.num_classes)]  # of each class
        few = [name for name, own in zip(self.class_names, places, strict=True) if len(own) < 2]
        if few:
            raise ValueError(f"Of classes with one image none can be held out: {', '.join(map(repr, few[:5]))}.")
        held_out = np.concatenate([own[::every] for own in places])
        return self.subset(np.setdiff1d(np.arange(len(self)), held_out)), self.subset(np.sort(held_out))

    def _example(self, loaded, label):
        return loaded, int(label)

    def batches(
        self,
        batch_size: int,
        *,
        training: bool = False,
        seed: int = 0,
        epochs: tuple[int, int] | None = None,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
        image_size: int = 224,
        augmentation: ClassificationAugmentation | None = None,
        crop_pct: float = 1.0,
        crop_mode: str = "center",
        label_mode: str = "int",
        weighted: bool = False,
    ) -> Any:
        """Returns batches of images and labels, for `model.fit` on any backend.

        Without training, images come in the order of the files, resized and cropped as by
        `resize_and_center_crop`; the last batch may be smaller. Unreadable images are left out, so the
        number of batches is not known before (Keras then warns that the "input ran out of data").

        In training, images are shuffled anew each epoch, and the incomplete last batch is left out. Order
        and augmentation of an epoch are a function of `seed` and its number. In the place of an unreadable
        image comes the next one of the data set: an epoch always has `steps_per_epoch` batches, and an
        image its place, whatever is read before it.

        For several devices or hosts, `shard` is `(index, count)`: batch `k` of a shard has those
        `batch_size / count` images of batch `k` of the whole that stand at `index`, `index + count`, ...
        (without training unless images are unreadable, which only their own shard knows). Others are not decoded.

        With `weighted`, all batches are full and all shards have equally many. Of `P` rows in all
        batches of all shards, those of the `N` images weigh `P / N`; rows that fill up the last batch, and
        unreadable images, weigh 0. Keras divides the weighted losses of a batch by its rows and takes the
        mean over the batches, `sum(P / N * loss) / P`, which is the mean over images (an unreadable one
        counts as a loss of 0). `weighted_metrics` are the mean over readable images; do not use `metrics`.

        Args:
            batch_size: Images in a batch, of all shards together.
            training: Whether images are for training, or in order.
            seed: Integer of 0 or more that order and augmentation in training depend on.
            epochs: In training, `(first, stop)` for one stream of these epochs, for
                `fit(steps_per_epoch=...)` and for going on where a training stopped. Or `None` for one
                epoch, and the next one each time it is read: 0, 1, ... (to build a model, Keras reads the
                first one ahead on JAX and PyTorch).
            first_step: The batch that the first of `epochs` begins with, for going on inside of it. No image
                before it is read (encoded records of TensorFlow Datasets are passed over).
            shard: `(index, count)`; `batch_size` must be a multiple of `count`.
            image_size: Height and width of the images in a batch, in pixels.
            augmentation: A `ClassificationAugmentation`, for training; `None` resizes and crops the centre.
            crop_pct: As for `resize_and_center_crop`, for images without augmentation.
            crop_mode: As for `resize_and_center_crop`, for images without augmentation.
            label_mode: `"int"`, or `"categorical"`, which augmentation with Mixup or CutMix needs.
            weighted: Whether batches have weights; not for training.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`, or `(images, labels, weights)`. Images are float32
            `(B, image_size, image_size, 3)`, RGB, 0-255. Labels are int64 `(B,)`, or one-hot float32
            `(B, num_classes)`. Weights are float32 `(B,)`.

        Raises:
            ValueError: If an argument is outside of what is listed above, or no image is readable.
            ImportError: If TensorFlow is not installed.
        """
        plan = self._plan(batch_size, training, seed, epochs, first_step, shard)
        check_positive_integer("image_size", image_size)
        check_choice("label_mode", label_mode, LABEL_MODES)
        _check_training(training, augmentation, weighted)
        if augmentation is not None and augmentation.batch_transform() is not None and label_mode != "categorical":
            raise ValueError(
                f"Mixup and CutMix mix labels, which needs `label_mode='categorical'`, got {label_mode!r}. Or switch "
                "both off in `augmentation`."
            )
        crop = functools.partial(resize_and_center_crop, size=image_size, crop_pct=crop_pct, crop_mode=crop_mode)
        crop(np.zeros((1, 1, 3), "uint8"))  # checks the arguments
        classes = self.num_classes if label_mode == "categorical" else None
        plan.reader.check(plan.indices)
        if training:
            return training_batches(plan, crop, image_size, classes, augmentation)
        return evaluation_batches(plan, crop, image_size, classes, weighted)


def _check_training(training, augmentation, weighted):
    if training and weighted:
        raise ValueError("`weighted=True` is for evaluation: in training all batches are full already.")
    if not training and augmentation is not None:
        raise ValueError("`augmentation` is for training: use `training=True`, or leave it out.")
    if augmentation is not None and not hasattr(augmentation, "image_transform"):
        raise ValueError(f"`augmentation` must be a ClassificationAugmentation or None, got {augmentation!r}.")
