"""From the images of a data set to batches for a detector."""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from keras_mambaout.data.batches import BatchPlan, finish
from keras_mambaout.data.grouping import in_groups
from keras_mambaout.data.resizing import resize_image
from keras_mambaout.data.seeds import AUGMENT
from keras_mambaout.detection.annotations import Annotations
from keras_mambaout.detection.buckets import EpochPlan, bucket_numbers
from keras_mambaout.detection.label_masks import draw_box_masks, draw_masks
from keras_mambaout.detection.resizing import ResizeRule, flip_labels, pad_sample, shrink_into

BLANK = (np.zeros((1, 1, 3), "uint8"),)  # what stands in for an unreadable image


class Targets:
    """What belongs to an image, as NumPy arrays: its id and resized size, and the labels at this size.

    Args:
        annotations: `Annotations`.
        image_ids: Id of each image of the source.
        resize: `ResizeRule`.
        masks: Whether masks are drawn.
        mask_size: The side of masks in the frames of their boxes; `None` draws them over the image.
        max_boxes: How many objects are kept, the largest.
    """

    def __init__(
        self,
        annotations: Annotations,
        image_ids: np.ndarray,
        resize: ResizeRule,
        masks: bool,
        mask_size: int | None,
        max_boxes: int,
    ) -> None:
        self.annotations, self.image_ids, self.resize, self.max_boxes = annotations, image_ids, resize, max_boxes
        self.masks, self.mask_size = masks, mask_size
        self.signature = {
            "image_id": ("int32", ()),
            "size": ("int32", (2,)),
            "bucket": ("int32", (2,)),
            "scale": ("float32", (2,)),
            "boxes": ("float32", (None, 4)),  # xyxy
            "classes": ("float32", (None,)),
        }
        if masks:
            self.signature["masks"] = ("uint8", (None, mask_size, mask_size))  # (n, h, w) or (n, M, M)

    def sizes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the original height and width of images of the source, `(n, 2)`."""
        return np.array([self.annotations.size(image_id) for image_id in self.image_ids[indices].tolist()])

    def __call__(self, index: int, edge: int, number: int) -> list[np.ndarray]:
        """Returns the targets of an image of the source, for a short side and the number of a bucket."""
        image_id, bucket = int(self.image_ids[index]), self.resize.buckets[number]
        original = self.annotations.size(image_id)
        size = shrink_into(self.resize.resized(*original, int(edge)), bucket)
        scale = np.array(size, "float64") / original
        boxes, classes, rows = self.annotations.objects(image_id, self.max_boxes)
        values = {"image_id": image_id, "size": size, "bucket": bucket, "scale": scale, "classes": classes}
        values["boxes"] = boxes * scale[[1, 0, 1, 0]]
        if self.masks:
            segmentations = [self.annotations.segmentation(row) for row in rows]
            if self.mask_size is None:
                values["masks"] = draw_masks(segmentations, original, size)
            else:
                values["masks"] = draw_box_masks(segmentations, boxes, original, self.mask_size)
        return [np.asarray(values[key], dtype) for key, (dtype, _) in self.signature.items()]


def training_batches(plan: BatchPlan, targets: Targets, flip: float, bounding_box_format: str, sizes: bool) -> Any:
    """Returns a `tf.data.Dataset` of shuffled batches, as `CocoDataset.batches` describes them.

    Args:
        plan: What the data sets of all tasks share.
        targets: `Targets`.
        flip: Probability of mirroring.
        bounding_box_format: Format of the boxes.
        sizes: Whether images come with their sizes.
    """
    import tensorflow as tf

    index_of = plan.reader.source.index
    draw = EpochPlan(
        targets.sizes(plan.indices), plan.indices, len(targets.image_ids), targets.resize, plan.steps, plan.seed
    )

    def one_epoch(epoch):
        edges, buckets, batches = (
            tf.ensure_shape(values, (None,)) for values in tf.numpy_function(draw, [epoch], [tf.int64] * 3)
        )

        def arrange(samples):
            grouped = in_groups(samples, lambda sample: buckets[index_of(sample)], batches, plan.batch_size)
            return grouped.enumerate().map(
                lambda position, planned: ((position, edges[index_of(planned[1])], planned[0]), planned[1])
            )

        def prepare(where, arrays, index):
            position, edge, bucket = where
            if not flip:
                return _sample(targets, *arrays, index, edge, bucket)
            flipped = tf.random.stateless_uniform((), plan.random(AUGMENT, epoch, position)) < flip
            image = tf.cond(flipped, lambda: tf.reverse(*arrays, [1]), lambda: tf.identity(*arrays))  # still small
            sample = _sample(targets, image, index, edge, bucket)
            return tf.cond(flipped, lambda: flip_labels(sample), lambda: dict(sample))

        images = plan.training_images(lambda image: (image,), BLANK, epoch, arrange)
        samples = images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return _batch(samples, targets, plan.rows, bounding_box_format, sizes, scales=False, full=True)

    return plan.epoch_batches(one_epoch)


def evaluation_batches(
    plan: BatchPlan, targets: Targets, bounding_box_format: str, sizes: bool, full: bool = False
) -> Any:
    """Returns a `tf.data.Dataset` of batches of all images, as `CocoDataset.batches` describes them.

    A batch is as large on each shard as it is on one device. They have the readable images or, `full`, as many as there
    are images in full batches, some of which have no size and no objects.
    """
    import tensorflow as tf

    numbers, edge = bucket_numbers(targets.sizes(plan.indices), targets.resize)[:, 0], targets.resize.edges[0]

    def batches(order):
        part = dataclasses.replace(plan, indices=plan.indices[order])
        starts = np.arange(0, len(order), plan.batch_size)
        largest = tf.constant(np.maximum.reduceat(np.array(targets.resize.buckets, "int32")[numbers[order]], starts))
        indices, buckets, last = tf.constant(part.indices), tf.constant(numbers[order]), len(order) - 1

        def prepare(position, arrays, _, readable=True):
            place = tf.minimum(position, last)  # what is after the last image is like it
            sample = _sample(targets, *arrays, indices[place], edge, buckets[place])
            return _counted({**sample, "bucket": largest[position // plan.batch_size]}, readable)

        images = (part.full_images if full else part.images)(lambda image: (image,), BLANK)
        samples = images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        return _batch(samples, targets, plan.rows, bounding_box_format, sizes, scales=True, full=full), len(starts)

    parts, counts = zip(*map(batches, targets.resize.orders(numbers)), strict=True)
    batches = functools.reduce(lambda first, second: first.concatenate(second), parts)
    return finish(batches.apply(tf.data.experimental.assert_cardinality(sum(counts))) if full else batches)


def _counted(sample, readable):
    """Returns a sample, of an unreadable image without size and objects, so that it has nothing to learn or find."""
    import tensorflow as tf

    rows = tf.where(readable, tf.shape(sample["classes"])[0], 0)
    objects = {key: sample[key][:rows] for key in ("boxes", "classes", "masks") if key in sample}
    return {**sample, **objects, "size": tf.where(readable, sample["size"], 0)}


def _sample(targets, image, index, edge, bucket):
    """Returns an image, resized, and its targets."""
    import tensorflow as tf

    values = tf.numpy_function(targets, [index, edge, bucket], [dtype for dtype, _ in targets.signature.values()])
    sample = {
        key: tf.ensure_shape(value, shape)
        for value, (key, (_, shape)) in zip(values, targets.signature.items(), strict=True)
    }
    return {**sample, "images": resize_image(image, sample["size"])}  # (h, w, 3)


def _batch(samples, targets, rows, bounding_box_format, sizes, scales, full):
    """Returns batches of images and labels with ids, and perhaps scales, all full or not."""
    import tensorflow as tf

    dropped = ("size", "bucket") if scales else ("size", "bucket", "scale")

    def finish_batch(batch):
        images = batch.pop("images")  # (B, H, W, 3)
        height, width = tf.unstack(tf.shape(images)[1:3])
        batch["boxes"] = _convert_boxes(batch["boxes"], batch["classes"], bounding_box_format, height, width)
        if sizes:
            images = {"images": images, "sizes": batch["size"]}
        return images, {key: value for key, value in batch.items() if key not in dropped}

    shapes, values = _padding(targets)
    samples = samples.map(
        lambda sample: pad_sample(sample, box_frames=targets.mask_size is not None),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batches = samples.padded_batch(rows, shapes, values, drop_remainder=full)
    return batches.map(finish_batch, num_parallel_calls=tf.data.AUTOTUNE)


def _padding(targets):
    """Returns the shapes of one image's entries in a batch, and what fills up its labels; images are padded already."""
    size, rows = targets.resize.batch_shape, targets.max_boxes
    padding = {
        "images": ((*size, 3), 0.0),
        "boxes": ((rows, 4), -1.0),
        "classes": ((rows,), -1.0),
        "size": ((2,), np.int32(0)),
        "bucket": ((2,), np.int32(0)),
        "scale": ((2,), 0.0),
        "image_id": ((), np.int32(0)),
    }
    if targets.masks:
        mask = size if targets.mask_size is None else (targets.mask_size,) * 2
        padding["masks"] = ((rows, *mask), np.uint8(0))
    return {key: shape for key, (shape, _) in padding.items()}, {key: value for key, (_, value) in padding.items()}


def _convert_boxes(boxes, classes, bounding_box_format, height, width):
    """Returns xyxy boxes in another format, with padding left at -1."""
    import tensorflow as tf

    converted = keras.utils.bounding_boxes.convert_format(
        boxes, source="xyxy", target=bounding_box_format, height=height, width=width
    )
    return tf.where(classes[..., None] < 0, -1.0, converted)
