"""Images with boxes, classes and masks of objects, in COCO's format."""

import logging

import numpy as np

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.detection.annotations import Annotations, read_coco_json
from keras_mambaout.detection.batches import Targets, make_batches
from keras_mambaout.detection.boxes import check_box_format
from keras_mambaout.detection.image_folder import ImageFolder
from keras_mambaout.detection.label_masks import draw_masks
from keras_mambaout.detection.resizing import ResizeRule
from keras_mambaout.detection.tfds_boxes import read_tfds
from keras_mambaout.extras import import_extra, import_tensorflow

logger = logging.getLogger(__name__)
FLIP_RATE = 0.5


class CocoDataset:
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

    def __init__(self, annotations, images):
        self._annotations, self._images = annotations, images
        self._said = set()

    @classmethod
    def from_json(cls, path, images):
        """Returns the data set of a JSON file in COCO's `instances` format and a folder of images.

        Args:
            path: The JSON file.
            images: The folder that the `file_name`s in the JSON file are relative to.

        Raises:
            ValueError: If a file is missing, or the JSON file does not fit the format.
        """
        annotations = Annotations(read_coco_json(path))
        return cls(annotations, ImageFolder(images, annotations.ground_truth["images"]))

    @classmethod
    def from_tfds(cls, name, split="train", data_dir=None, verbose="auto"):
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
            ValueError: If there is no such data set or split, or it has no boxes.
        """
        ground_truth, images = read_tfds(name, split, data_dir, verbose)
        return cls(Annotations(ground_truth), images)

    def __len__(self):
        return len(self.image_ids)

    @property
    def image_ids(self):
        """Ids of the images, in order."""
        return list(self._annotations.image_ids)

    @property
    def class_names(self):
        """Name of each class."""
        return list(self._annotations.class_names)

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self._annotations.class_names)

    @property
    def category_ids(self):
        """COCO's category id of each class."""
        return list(self._annotations.category_ids)

    @property
    def ground_truth(self):
        """The labels as a dict in COCO's format, crowds included, as pycocotools reads it."""
        return self._annotations.ground_truth

    def image_size(self, image_id):
        """Returns the height and width of an image, as the labels have it."""
        return self._annotations.size(image_id)

    def load_image(self, image_id):
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        self._annotations.position(image_id)
        return self._images.load(image_id)

    @property
    def has_masks(self):
        """Whether every object has a mask."""
        return not self._annotations.without_segmentation()

    def objects(self, image_id, masks=False):
        """Returns the objects of an image, no crowds: `"boxes"` `(n, 4)`, xyxy in pixels, and `"classes"` `(n,)`.

        With `masks=True` also `"masks"`, boolean, `(n, H, W)`, at the size of the image.
        """
        boxes, classes, rows = self._annotations.objects(image_id)
        found = {"boxes": boxes, "classes": classes}
        if masks:
            self._check_masks()
            size = self.image_size(image_id)
            found["masks"] = draw_masks([self._annotations.segmentation(row) for row in rows], size, size).astype(bool)
        return found

    def subset(self, image_ids):
        """Returns the data set of these images only, in this order."""
        image_ids = list(image_ids)
        if not image_ids or len(set(image_ids)) < len(image_ids):
            raise ValueError(f"A subset needs one image or more, each once, got {len(image_ids)} image ids.")
        return CocoDataset(self._annotations.subset(image_ids), self._images)

    def steps_per_epoch(self, batch_size):
        """Returns how many batches for training there are: of images with objects, without an incomplete last one."""
        check_positive_integer("batch_size", batch_size)
        return len(self._training_ids(batch_size)) // batch_size

    def batches(
        self,
        batch_size=8,
        image_size=None,
        shortest_edge=None,
        longest_edge=1333,
        training=False,
        flip=None,
        bounding_box_format="xyxy",
        masks=False,
        max_boxes=100,
        pad_to_multiple=32,
        seed=None,
        mask_size=None,
        sizes=False,
    ):
        """Returns batches of images and labels, for `model.fit` on any backend.

        Images keep their aspect ratio and stand at the top left; the rest has ImageNet's mean
        colour, which the models normalise to 0. Exactly one of `image_size` and `shortest_edge` says how
        they are resized. With `image_size` all batches have one shape, so that JAX compiles once.

        Args:
            batch_size: Images in a batch.
            image_size: An integer or `(H, W)`; images are resized to fit in.
            shortest_edge: The short side of images, unless the long side would be more than
                `longest_edge`, as Mask R-CNN has it; a batch is as large as its largest image.
            longest_edge: See `shortest_edge`.
            training: Whether images are shuffled anew each epoch, those without objects and the
                incomplete last batch left out, and images mirrored at random. Otherwise all images
                come in the order of `image_ids`.
            flip: Probability of mirroring; default 0.5 in training.
            bounding_box_format: Format of the boxes, one of `detection.boxes.BOX_FORMATS`; relative
                ones are relative to the padded images.
            masks: Whether labels have masks.
            mask_size: With `masks=True`, the side `M` of masks in the frames of their boxes: cell `i, j`
                covers `left + [j, j + 1] * width / M` in x, and the same with `i` in y. This is what
                `MaskRCNN` takes, and saves memory: masks of 16 images with 100 boxes are 20 MB at 112,
                and 1.7 GB over images of 800 x 1333. `None`: masks are as large as the images.
            max_boxes: Rows of the labels; of more objects the largest are kept.
            pad_to_multiple: With `shortest_edge`, what height and width of a batch are multiples of.
            seed: Integer that makes shuffling and mirroring reproducible.
            sizes: Whether images are a dict of `"images"`, and `"sizes"` `(B, 2)`, int32: the height and
                width of each image in the batch without its padding.

        Returns:
            A `tf.data.Dataset` of `(images, labels)`. Images are float32 `(B, H, W, 3)`, RGB, 0-255.
            Labels are `"boxes"` `(B, max_boxes, 4)` and `"classes"` `(B, max_boxes)`, float32, padded
            with -1, `"masks"` `(B, max_boxes, H, W)` or `(B, max_boxes, M, M)`, uint8, padded with 0, if
            asked for, and without training `"image_id"` `(B,)`, int32, and `"scale"` `(B, 2)`, float32,
            the resized by the original height and width. Crowds are in none of them.

        Raises:
            ValueError: If an argument is outside of what is listed above, or nothing is left to train on.
            ImportError: If TensorFlow, or pycocotools for masks, is not installed.
        """
        import_tensorflow()
        resize = ResizeRule(image_size, shortest_edge, longest_edge, pad_to_multiple)
        check_positive_integer("batch_size", batch_size)
        check_positive_integer("max_boxes", max_boxes)
        check_box_format(bounding_box_format)
        flip = _flip_rate(flip, training)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"`seed` must be an integer or None, got {seed!r}.")
        if mask_size is not None and not masks:
            raise ValueError(f"`mask_size` is the size of masks, use `masks=True` with it, got {mask_size!r} alone.")
        if masks:
            import_extra("pycocotools")
            self._check_masks()
            if mask_size is not None:
                check_positive_integer("mask_size", mask_size)
        image_ids = self._training_ids(batch_size) if training else self.image_ids
        self._log_crowded(max_boxes)
        targets = Targets(self._annotations, resize, masks, mask_size, max_boxes)
        stream = self._images.stream(image_ids, shuffle=training, seed=seed)
        return make_batches(stream, targets, batch_size, training, flip, bounding_box_format, sizes, seed)

    def _training_ids(self, batch_size):
        counts = self._annotations.counts()
        chosen = [image_id for image_id, count in zip(self.image_ids, counts, strict=True) if count]
        if len(chosen) < batch_size:
            raise ValueError(
                f"{len(chosen)} of {len(self)} images have objects to train on, that is not one batch of "
                f"{batch_size}. Use a smaller `batch_size` or more images."
            )
        return chosen

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
            self._said.add(max_boxes)  # epochs with batches of their own need not repeat it
            logger.warning(
                "%d of %d images have more than max_boxes=%d objects (at most %d); the largest are kept.",
                np.sum(counts > max_boxes),
                len(counts),
                max_boxes,
                np.max(counts),
            )


def _flip_rate(flip, training):
    if flip is None:
        return FLIP_RATE if training else 0.0
    if isinstance(flip, bool) or not isinstance(flip, (int, float)) or not 0 <= flip <= 1:
        raise ValueError(f"`flip` must be a probability, a number from 0 to 1, got {flip!r}.")
    if flip and not training:
        raise ValueError(f"`flip` is for training: boxes on mirrored images do not map back, got {flip!r}.")
    return float(flip)
