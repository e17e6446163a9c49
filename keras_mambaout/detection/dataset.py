"""Images with boxes, classes and masks of objects, in COCO's format."""

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from keras_mambaout.arguments import check_choice, check_positive_integer
from keras_mambaout.data.dataset import ImageDataset, check_full
from keras_mambaout.detection.annotation_checks import POLICIES, checked_labels
from keras_mambaout.detection.annotations import Annotations, read_coco_json
from keras_mambaout.detection.batches import Targets, evaluation_batches, training_batches
from keras_mambaout.detection.box_formats import check_box_format
from keras_mambaout.detection.image_folder import ImageFolder
from keras_mambaout.detection.label_masks import draw_masks
from keras_mambaout.detection.resizing import ResizeRule, flip_rate, short_sides
from keras_mambaout.detection.tfds_boxes import TfdsPhotos, read_tfds
from keras_mambaout.extras import import_extra

logger = logging.getLogger(__name__)


class CocoDataset(ImageDataset):
    """Images with labelled objects: COCO's files, others in its format, or TensorFlow Datasets.

    It is made by `from_json` or `from_tfds`. Classes are 0 to K - 1, in the order of COCO's category
    ids, which have gaps and begin at 1: class `i` is `category_ids[i]` and `class_names[i]`.

    Example:
    ```python
    dataset = CocoDataset.from_json("annotations/instances_train2017.json", images="train2017")
    train = dataset.batches(batch_size=8, image_size=640, training=True, masks=True, mask_size=112)
    images, labels = next(iter(train))  # images (8, 640, 640, 3), 0-255
    labels["boxes"], labels["classes"]  # (8, 100, 4) and (8, 100), padded with -1
    labels["masks"]  # (8, 100, 112, 112), each in the frame of its box
    ```

    Source: [Lin et al., Microsoft COCO: Common Objects in Context](https://arxiv.org/abs/1405.0312),
    [its data format](https://cocodataset.org/#format-data)
    """

    _trainable = "images with objects"

    def __init__(self, annotations: Annotations, images: ImageFolder | TfdsPhotos) -> None:
        super().__init__(images, annotations.class_names)
        self._annotations, self._source_ids, self._said = annotations, np.array(annotations.image_ids, "int64"), set()

    @classmethod
    def from_json(cls, path: str | os.PathLike, images: str | os.PathLike, invalid: str = "error") -> "CocoDataset":
        """Returns the data set of a JSON file in COCO's `instances` format and a folder of images.

        All of the file is checked here, so that nothing in it ends a training later. Polygons and boxes may reach
        beyond the image and boxes may have no area, as some of COCO's; numbers must be finite, polygons have three
        points or more, run lengths fit their image, and ids of categories be unique.

        Args:
            path: The JSON file.
            images: The folder that the `file_name`s in the JSON file are relative to. Files that are not there are
                left out as unreadable ones are: named, and in `unreadable`.
            invalid: What becomes of wrong entries. `"error"`: a `ValueError` counts them and names the first.
                `"skip"`: wrong annotations are left out, and wrong images together with their annotations; a warning
                counts them and names the first. Wrong categories, and a file that has no such lists, are errors
                nevertheless.

        Raises:
            ValueError: If there is no such file or folder, none of the image files is there, or the JSON file does
                not fit the format.
        """
        check_choice("invalid", invalid, POLICIES)
        annotations = Annotations(checked_labels(read_coco_json(path), repr(os.fspath(path)), invalid, files=True))
        return cls(annotations, ImageFolder(images, annotations.ground_truth["images"]))

    @classmethod
    def from_tfds(
        cls,
        name: str,
        split: str = "train",
        data_dir: str | os.PathLike | None = None,
        verbose: str | int = "auto",
    ) -> "CocoDataset":
        """Returns the data set of a split of TensorFlow Datasets, which has boxes but no masks.

        What is not there yet is downloaded and prepared, as `tfds.load` does. The split is then read
        once for its labels. COCO's `is_crowd` and VOC's `is_difficult` become `iscrowd`. Images
        have the id `image/id`, or count from 1.

        Args:
            name: `"coco/2017"`, `"voc/2007"`, or another with `objects` of `bbox` and `label`.
            split: `"train"`, `"validation"`, `"train[:10%]"`, `"train+validation"`, ...
            data_dir: Folder of prepared data; default that of TensorFlow Datasets.
            verbose: 1 shows a progress bar, 0 none, `"auto"` one where stdout is a terminal.

        Raises:
            ValueError: If there is no such data set or split, it has no boxes, a label is wrong, or it is not stored
                as TFRecord files.
        """
        ground_truth, images = read_tfds(name, split, data_dir, verbose)
        return cls(Annotations(checked_labels(ground_truth, repr(name))), images)

    @property
    def image_ids(self) -> list[int]:
        """Ids of the images, in order."""
        return list(self._annotations.image_ids)

    @property
    def category_ids(self) -> list[int]:
        """COCO's category id of each class."""
        return list(self._annotations.category_ids)

    @property
    def ground_truth(self) -> dict:
        """The labels as a dict in COCO's format, crowds included, as pycocotools reads it."""
        return self._annotations.ground_truth

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Returns the height and width of an image, as the labels have it."""
        return self._annotations.size(image_id)

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask."""
        return not self._annotations.without_segmentation()

    def load(self, index: int, masks: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Returns an image and its objects, without crowds.

        Args:
            index: From 0 to `len(dataset) - 1`.
            masks: Whether the objects have masks.

        Returns:
            The image, RGB, uint8 `(H, W, 3)`, and a dict of `"boxes"` `(n, 4)`, xyxy in pixels, `"classes"` `(n,)` and,
            if asked for, `"masks"`, boolean `(n, H, W)`.

        Raises:
            ValueError: If `index` is out of range, the image is unreadable or not of the size that its labels were made
                for, or there are no masks.
        """
        if masks:
            self._check_masks()
        image, objects = super().load(index)
        if masks:
            _, _, rows = self._annotations.objects(self._source_ids[self._place(index)])
            segmentations = [self._annotations.segmentation(row) for row in rows]
            objects["masks"] = draw_masks(segmentations, image.shape[:2], image.shape[:2]).astype(bool)
        return image, objects

    def _example(self, loaded, label):
        boxes, classes, _ = self._annotations.objects(self._source_ids[label])
        return loaded, {"boxes": boxes, "classes": classes}

    def _identity(self, place):
        boxes, classes, _ = self._annotations.objects(self._source_ids[place])
        return (*super()._identity(place), boxes.tolist(), classes.tolist())

    def subset(self, indices: Iterable[int]) -> Self:
        """Returns the data set of these images only, in this order: see `ImageDataset.subset`."""
        part = super().subset(indices)
        part._annotations = self._annotations.subset(self._source_ids[part._indices].tolist())
        part._said = set()
        return part

    def batches(
        self,
        batch_size: int,
        *,
        training: bool = False,
        seed: int = 0,
        epochs: tuple[int, int] | None = None,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
        image_size: int | tuple[int, int] | None = None,
        shortest_edge: int | None = None,
        longest_edge: int = 1333,
        multi_scale: Sequence[int] | None = None,
        pad_to_multiple: int = 32,
        flip: float | None = None,
        bounding_box_format: str = "xyxy",
        masks: bool = False,
        mask_size: int | None = None,
        max_boxes: int = 100,
        sizes: bool = False,
        full: bool = False,
    ) -> Any:
        """Returns batches of images and labels, for `model.fit` on any backend.

        Images keep their aspect ratio and stand at the top left; the rest has ImageNet's mean
        colour, which the models normalise to 0. Exactly one of `image_size` and `shortest_edge` says how they are
        resized. With `image_size` all batches have one shape, so that JAX compiles once. With `shortest_edge` they have
        six at most, the buckets: of 800 and 1333 these are 800 x 1088 (for 4:3), 800 x 1216 (for 3:2), 800 x 1344 and
        the same upright. They follow from the edges, not from the images.

        Without training all images come once, and the last batch may be smaller. With `image_size` they come in the
        order of `image_ids`; with `shortest_edge` wide ones come before high ones, each in the order of their buckets,
        and the last batch of each may be smaller. In training images without objects are left out, and so are those
        that fill no batch. Images are shuffled anew each epoch and mirrored at random, both as a function of `seed` and
        the epoch's number. With `shortest_edge` the images of a batch are of one bucket, which has its share of the
        epoch's batches, rounded up or down at random; an image comes again where a bucket has too few. Unreadable
        images are left out: without training the number of batches is therefore not known before (Keras then warns that
        the "input ran out of data"); in training the next image of the data set comes in the place of one, so that an
        epoch always has `steps_per_epoch` batches.

        Args:
            batch_size: Images in a batch, of all shards together.
            training: Whether images are for training, or in order.
            seed: Integer of 0 or more that order and mirroring in training depend on.
            epochs: In training, `(first, stop)` for one stream of these epochs; or `None` for one epoch, and the next
                one each time it is read: 0, 1, ... (as for `ClassificationDataset.batches`).
            first_step: The batch that the first of `epochs` begins with, for going on inside of it (as for
                `ClassificationDataset.batches`).
            shard: `(index, count)`, for several devices or hosts: this shard's images of each batch;
                `batch_size` must be a multiple of `count`.
            image_size: An integer or `(H, W)`; images are resized to fit in.
            shortest_edge: The short side of images, unless the long side would be more than
                `longest_edge`, as in Mask R-CNN.
            longest_edge: See `shortest_edge`.
            multi_scale: In training with `shortest_edge`, short sides that come in its place: one is drawn for each
                image and epoch. There are six buckets at most for all of them.
            pad_to_multiple: With `shortest_edge`, what heights and widths of buckets are multiples of.
            flip: Probability of mirroring; default 0.5 in training.
            bounding_box_format: Format of the boxes, one of `detection.boxes.BOX_FORMATS`; relative
                ones are relative to the padded images.
            masks: Whether labels have masks.
            mask_size: With `masks=True`, the side `M` of masks in the frames of their boxes: cell `i, j`
                covers `left + [j, j + 1] * width / M` in x, and the same with `i` in y. This is what
                `MaskRCNN` takes, and saves memory: masks of 16 images with 100 boxes are 20 MB at 112,
                and 1.7 GB over images of 800 x 1333. `None`: masks are as large as the images.
            max_boxes: Rows of the labels; if there are more objects, the largest are kept.
            sizes: Whether images are a dict of `"images"`, and `"sizes"` `(B, 2)`, int32: the height and
                width of each image in the batch without its padding.
            full: With `sizes=True`, whether all batches are full, also where images are unreadable, and their number
                is known: not for training, whose batches always are. What fills them up has no objects and the size 0:
                nothing of it counts. All shards then have equally many batches, of the same images as on one device.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`. Images are float32 `(B, H, W, 3)`, RGB, 0-255.
            Labels are `"boxes"` `(B, max_boxes, 4)` and `"classes"` `(B, max_boxes)`, float32, padded
            with -1, `"masks"` `(B, max_boxes, H, W)` or `(B, max_boxes, M, M)`, uint8, padded with 0, if
            asked for, `"image_id"` `(B,)`, int32, and without training `"scale"` `(B, 2)`, float32,
            the resized by the original height and width. Crowds are in none of them.

        Raises:
            ValueError: If an argument is outside of what is listed above, nothing is left to train on, or no image is
                readable.
            ImportError: If TensorFlow, or pycocotools for masks, is not installed.
        """
        plan = self._plan(batch_size, training, seed, epochs, first_step, shard)
        edges = short_sides(shortest_edge, longest_edge, multi_scale, training)
        resize = ResizeRule(image_size, edges, longest_edge, pad_to_multiple)
        check_positive_integer("max_boxes", max_boxes)
        check_box_format(bounding_box_format)
        flip = flip_rate(flip, training)
        check_full(full, training)
        if full and not sizes:
            raise ValueError("`full=True` needs `sizes=True`, which tell what counts in a batch and what fills it up.")
        if mask_size is not None and not masks:
            raise ValueError(f"`mask_size` is the size of masks: use `masks=True` with it, got {mask_size!r} alone.")
        if masks:
            import_extra("pycocotools")
            self._check_masks()
            if mask_size is not None:
                check_positive_integer("mask_size", mask_size)
        self._log_crowded(max_boxes)
        plan.reader.check(plan.indices)
        targets = Targets(self._annotations, self._source_ids, resize, masks, mask_size, max_boxes)
        if training:
            return training_batches(plan, targets, flip, bounding_box_format, sizes)
        return evaluation_batches(plan, targets, bounding_box_format, sizes, full)

    def _training_indices(self):
        return self._indices[self._annotations.counts() > 0]

    def _check_masks(self):
        missing = self._annotations.without_segmentation()
        if missing:
            raise ValueError(
                f"`masks=True` needs 'segmentation' in every annotation, {missing} objects have none. TensorFlow "
                "Datasets has no masks: read COCO's own JSON with `CocoDataset.from_json`, or use `masks=False`."
            )

    def _log_crowded(self, max_boxes):
        counts = self._annotations.counts()
        if np.max(counts) > max_boxes and max_boxes not in self._said:
            self._said.add(max_boxes)  # said once, not for each epoch
            logger.warning(
                "%d of %d images have more than max_boxes=%d objects (at most %d); the largest are kept.",
                np.sum(counts > max_boxes),
                len(counts),
                max_boxes,
                np.max(counts),
            )
