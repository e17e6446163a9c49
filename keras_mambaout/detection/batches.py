"""From a stream of images to batches for a detector."""

import keras
import numpy as np

from keras_mambaout.data.resizing import PADDING_MARK, fill_padding, resize_image
from keras_mambaout.detection.label_masks import draw_box_masks, draw_masks
from keras_mambaout.detection.resizing import flip_sample


class Targets:
    """What belongs to an image, as NumPy arrays: its resized size, and the labels at this size.

    Args:
        annotations: `Annotations`.
        resize: `ResizeRule`.
        masks: Whether masks are drawn.
        mask_size: The side of masks in the frames of their boxes; `None` draws them over the image.
        max_boxes: How many objects are kept, the largest.
    """

    def __init__(self, annotations, resize, masks, mask_size, max_boxes):
        self.annotations, self.resize, self.max_boxes = annotations, resize, max_boxes
        self.masks, self.mask_size = masks, mask_size
        self.signature = {
            "size": ("int32", (2,)),
            "scale": ("float32", (2,)),
            "boxes": ("float32", (None, 4)),  # xyxy
            "classes": ("float32", (None,)),
        }
        if masks:
            self.signature["masks"] = ("uint8", (None, mask_size, mask_size))  # (n, h, w) or (n, M, M)

    def __call__(self, image_id):
        original = self.annotations.size(int(image_id))
        size = self.resize.resized(*original)
        scale = np.array(size, "float64") / original
        boxes, classes, rows = self.annotations.objects(int(image_id), self.max_boxes)
        values = {"size": size, "scale": scale, "boxes": boxes * scale[[1, 0, 1, 0]], "classes": classes}
        if self.masks:
            segmentations = [self.annotations.segmentation(row) for row in rows]
            if self.mask_size is None:
                values["masks"] = draw_masks(segmentations, original, size)
            else:
                values["masks"] = draw_box_masks(segmentations, boxes, original, self.mask_size)
        return [np.asarray(values[key], dtype) for key, (dtype, _) in self.signature.items()]


def make_batches(stream, targets, batch_size, training, flip, bounding_box_format, sizes, seed):
    """Returns a `tf.data.Dataset` of `(images, labels)`, as `CocoDataset.batches` describes them.

    Args:
        stream: A `tf.data.Dataset` of ids and uint8 images `(H, W, 3)`.
        targets: `Targets`.
        batch_size: Images in a batch.
        training: Whether the last incomplete batch, ids and scales are left out.
        flip: Probability of mirroring.
        bounding_box_format: Format of the boxes.
        sizes: Whether images come with their sizes.
        seed: Seed of mirroring.
    """
    import tensorflow as tf

    resize = targets.resize

    def prepare(image_id, image, draw):
        sample = _read_targets(targets, image_id)
        sample["images"] = resize_image(image, sample["size"])  # (h, w, 3)
        if flip:
            flipped = tf.random.stateless_uniform((), [draw, 0]) < flip
            sample = tf.cond(flipped, lambda: flip_sample(sample), lambda: dict(sample))
        sample = resize.round_up(sample, box_frames=targets.mask_size is not None)
        return {**sample, "image_id": tf.cast(image_id, "int32")}

    def finish(batch):
        images = fill_padding(batch.pop("images"))  # (B, H, W, 3)
        height, width = tf.unstack(tf.shape(images)[1:3])
        batch["boxes"] = _convert_boxes(batch["boxes"], batch["classes"], bounding_box_format, height, width)
        if sizes:
            images = {"images": images, "sizes": batch["size"]}
        dropped = ("size", "image_id", "scale") if training else ("size",)
        return images, {key: value for key, value in batch.items() if key not in dropped}

    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    samples = tf.data.Dataset.zip((stream, draws)).map(
        lambda sample, draw: prepare(*sample, draw), num_parallel_calls=tf.data.AUTOTUNE
    )
    shapes, values = _padding(targets)
    batches = samples.padded_batch(batch_size, shapes, values, drop_remainder=training)
    return batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _read_targets(targets, image_id):
    import tensorflow as tf

    dtypes = [dtype for dtype, _ in targets.signature.values()]
    values = tf.numpy_function(targets, [image_id], dtypes)
    return {
        key: tf.ensure_shape(value, shape)
        for value, (key, (_, shape)) in zip(values, targets.signature.items(), strict=True)
    }


def _padding(targets):
    """Returns the shapes of one image's entries in a batch, and what fills them up."""
    size, rows = targets.resize.batch_shape, targets.max_boxes
    padding = {
        "images": ((*size, 3), PADDING_MARK),
        "boxes": ((rows, 4), -1.0),
        "classes": ((rows,), -1.0),
        "size": ((2,), np.int32(0)),
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
