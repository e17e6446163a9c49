"""Images with one class each, from folders or TensorFlow Datasets."""

import functools

import numpy as np

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.classification.batches import BatchPlan, evaluation_batches, training_batches
from keras_mambaout.classification.class_folders import ClassFolders
from keras_mambaout.classification.tfds_labels import TfdsLabels
from keras_mambaout.data.reader import ImageReader
from keras_mambaout.extras import import_tensorflow
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop

LABEL_MODES = ("int", "categorical")


class ClassificationDataset:
    """Images with one class each: a folder of class folders, or TensorFlow Datasets.

    It is made by `from_folder` or `from_tfds`. Class `i` is `class_names[i]`. Images that cannot be
    read are left out; each is named once in a warning, and all in `unreadable`.

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

    def __init__(self, source):
        self._source, self._reader = source, ImageReader(source)

    @classmethod
    def from_folder(cls, folder, class_names=None):
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
    def from_tfds(cls, name, split="train", data_dir=None):
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

    def split(self, share):
        """Returns two data sets of a folder's images: those for training, and a share that is held out.

        Args:
            share: Above 0 and at most 0.5: every `1 / share`-th image of each class is held out, from the first.

        Raises:
            ValueError: If `share` is out of range, a class has one image only, or this is no folder: splits of
                TensorFlow Datasets are named, `"train[10%:]"` and `"train[:10%]"`.
        """
        if not isinstance(self._source, ClassFolders):
            raise ValueError("Name the splits of TensorFlow Datasets: split='train[10%:]' and split='train[:10%]'.")
        if not isinstance(share, float) or not 0.0 < share <= 0.5:
            raise ValueError(f"`share` must be a number above 0 and at most 0.5, got {share!r}.")
        return tuple(ClassificationDataset(source) for source in self._source.split(share))

    def __len__(self):
        return len(self._source)

    @property
    def class_names(self):
        """Name of each class."""
        return list(self._source.class_names)

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self._source.class_names)

    @property
    def unreadable(self):
        """Names of the unreadable images met so far by this process, sorted: paths, or ids of TensorFlow Datasets."""
        return sorted(self._reader.unreadable)

    def steps_per_epoch(self, batch_size, training=True):
        """Returns the number of batches of an epoch, in training without the incomplete last one."""
        check_positive_integer("batch_size", batch_size)
        if training and len(self) < batch_size:
            raise ValueError(
                f"{len(self)} images are not one batch of {batch_size}. Use a smaller `batch_size` or more images."
            )
        return len(self) // batch_size if training else -(-len(self) // batch_size)

    def batches(
        self,
        batch_size,
        image_size=224,
        training=False,
        augmentation=None,
        crop_pct=1.0,
        crop_mode="center",
        label_mode="int",
        seed=0,
        epochs=None,
        shard=(0, 1),
        weighted=False,
    ):
        """Returns batches of images and labels, for `model.fit` on any backend.

        Without training, images come in the order of the files, resized and cropped as by
        `resize_and_center_crop`; the last batch may be smaller. Unreadable images are left out, so the
        number of batches is not known before (Keras then warns that the "input ran out of data").

        In training, images are shuffled anew each epoch, and the incomplete last batch is left out. Order
        and augmentation of an epoch are a function of `seed` and its number. Instead of unreadable
        images, those from the epoch's beginning come again: it always has `steps_per_epoch` batches.

        For several devices or hosts, `shard` is `(index, count)`: batch `k` of a shard has those
        `batch_size / count` images of batch `k` of the whole that stand at `index`, `index + count`, ...
        (unless images are unreadable, which only their own shard knows). Others are not decoded.

        With `weighted`, all batches are full and all shards have equally many. Of `P` rows in all
        batches of all shards, those of the `N` images weigh `P / N`; rows that fill up the last batch, and
        unreadable images, weigh 0. Keras divides the weighted losses of a batch by its rows and takes the
        mean over the batches, `sum(P / N * loss) / P`, which is the mean over images (an unreadable one
        counts as a loss of 0). `weighted_metrics` are the mean over readable images; do not use `metrics`.

        Args:
            batch_size: Images in a batch, of all shards together.
            image_size: Height and width of the images in a batch, in pixels.
            training: Whether images are for training, or in order.
            augmentation: An `ClassificationAugmentation`, for training; `None` resizes and crops the centre.
            crop_pct: As for `resize_and_center_crop`, for images without augmentation.
            crop_mode: As for `resize_and_center_crop`, for images without augmentation.
            label_mode: `"int"` or `"categorical"`, which augmentation with Mixup or CutMix needs.
            seed: Integer of 0 or more that order and augmentation in training depend on.
            epochs: In training, `(first, stop)` for one stream of these epochs, for
                `fit(steps_per_epoch=...)` and for going on where a training stopped. Or `None` for one
                epoch, and the next one each time it is read: 0, 1, ... (to build a model, Keras reads the
                first one ahead on JAX and PyTorch).
            shard: `(index, count)`; `batch_size` must be a multiple of `count`.
            weighted: Whether batches have weights, not for training.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`, or `(images, labels, weights)`. Images are float32
            `(B, image_size, image_size, 3)`, RGB, 0-255. Labels are int64 `(B,)`, or one-hot float32
            `(B, num_classes)`. Weights are float32 `(B,)`.

        Raises:
            ValueError: If an argument is outside of what is listed above, or no image is readable.
            ImportError: If TensorFlow is not installed.
        """
        tf = import_tensorflow()
        steps = self.steps_per_epoch(batch_size, training)
        check_positive_integer("image_size", image_size)
        check_choice("label_mode", label_mode, LABEL_MODES)
        _check_shard(shard, batch_size)
        _check_training(training, augmentation, epochs, weighted)
        _check_seed(seed)
        if augmentation is not None and augmentation.batch_transform() is not None and label_mode != "categorical":
            raise ValueError(
                f"Mixup and CutMix mix labels, which needs `label_mode='categorical'`, got {label_mode!r}. Or switch "
                "both off in `augmentation`."
            )
        crop = functools.partial(resize_and_center_crop, size=image_size, crop_pct=crop_pct, crop_mode=crop_mode)
        blank = crop(np.zeros((1, 1, 3), "uint8"))
        classes = self.num_classes if label_mode == "categorical" else None
        plan = BatchPlan(batch_size, steps, tuple(shard), crop, blank, classes)
        self._reader.check()
        if training:
            batches = training_batches(self._reader, plan, augmentation, seed, epochs)
        else:
            batches = evaluation_batches(self._reader, plan, weighted)
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value):
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_integer, value))


def _check_shard(shard, batch_size):
    if not _is_pair(shard) or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"`shard` must be (index, count) with 0 <= index < count, got {shard!r}.")
    if batch_size % shard[1]:
        raise ValueError(
            f"`batch_size` is that of all shards together and must be a multiple of their number {shard[1]}, got "
            f"{batch_size}."
        )


def _check_training(training, augmentation, epochs, weighted):
    if training and weighted:
        raise ValueError("`weighted=True` is for evaluation: in training all batches are full already.")
    if not training and (augmentation is not None or epochs is not None):
        raise ValueError("`augmentation` and `epochs` are for training: use `training=True`, or leave them out.")
    if augmentation is not None and not hasattr(augmentation, "image_transform"):
        raise ValueError(f"`augmentation` must be a ClassificationAugmentation or None, got {augmentation!r}.")
    if epochs is not None and (not _is_pair(epochs) or not 0 <= epochs[0] < epochs[1]):
        raise ValueError(f"`epochs` must be None or (first, stop) with 0 <= first < stop, got {epochs!r}.")


def _check_seed(seed):
    if not _is_integer(seed) or not 0 <= seed < 2**63:
        raise ValueError(f"`seed` must be an integer from 0 to 2^63 - 1, got {seed!r}.")
