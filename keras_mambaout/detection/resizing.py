"""How images get the sizes that a detector takes, and their boxes and masks with them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mambaout.arguments import check_edges, check_positive_integer
from keras_mambaout.data.resizing import pad_image
from keras_mambaout.detection.buckets import choose_buckets, holds
from keras_mambaout.preprocessing.fitting import check_size, fit

FLIP_RATE = 0.5


class ResizeRule:
    """The size of an image after resizing and after padding; its aspect ratio is kept.

    Images are padded to one of a few sizes, `buckets`: a model meets no other, and JAX compiles no more often.

    Args:
        image_size: An integer or `(H, W)`: images are resized to fit in, and padded to exactly this.
        shortest_edge: The short side becomes this long, unless the long side would be more than
            `longest_edge`; the image is padded to the smallest bucket that holds it. For several short sides, of which
            each image gets one, the buckets hold all of them.
        longest_edge: See `shortest_edge`.
        pad_to_multiple: With `shortest_edge`, what heights and widths of buckets are multiples of.

    Raises:
        ValueError: If not exactly one of `image_size` and `shortest_edge` is given, or one is not a size.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = None,
        shortest_edge: int | Sequence[int] | None = None,
        longest_edge: int = 1333,
        pad_to_multiple: int = 32,
    ) -> None:
        if (image_size is None) == (shortest_edge is None):
            raise ValueError(
                "Exactly one of `image_size` (images padded to one size) and `shortest_edge` (images resized by their "
                f"short side) must be given, got image_size={image_size!r} and shortest_edge={shortest_edge!r}."
            )
        multiple = check_positive_integer("pad_to_multiple", pad_to_multiple)
        self.image_size, self.longest_edge, self.edges = None, longest_edge, (0,)  # no short side
        if shortest_edge is None:
            self.image_size = check_size("image_size", image_size)
            self.buckets = (self.image_size,)
            return
        self.edges = tuple(shortest_edge) if isinstance(shortest_edge, Sequence) else (shortest_edge,)
        for edge in self.edges:
            check_edges(edge, longest_edge)
        self.buckets = choose_buckets(self.edges, longest_edge, multiple)

    def resized(self, height: int, width: int, edge: int | None = None) -> tuple[int, int]:
        """Returns the height and width of an image after resizing; of several short sides, `edge` says which."""
        if self.image_size is not None:
            return fit((height, width), self.image_size)
        short, long = edge or self.edges[0], self.longest_edge
        return fit((height, width), (short, long) if height < width else (long, short))

    def bucket(self, size: tuple[int, int]) -> int:
        """Returns the number of the smallest bucket, of the same orientation, that holds an image of a resized size."""
        if self.image_size is not None:
            return 0
        wide = len(self.buckets) // 2
        first = 0 if size[0] <= size[1] else wide
        return next(number for number in range(first, first + wide) if holds(self.buckets[number], size))

    def orders(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Returns in which order images of these bucket numbers come: one array of positions per orientation.

        They are ordered by their buckets, so that batches of them have little padding; with `image_size` they stay as
        they are.
        """
        numbers = np.asarray(numbers, "int64")
        if self.image_size is not None:
            return [np.arange(len(numbers))]
        order, wide = np.argsort(numbers, kind="stable"), len(self.buckets) // 2
        parts = np.split(order, [np.sum(numbers < wide)])
        return [part for part in parts if len(part)]

    @property
    def batch_shape(self) -> tuple[int | None, int | None]:
        """Height and width of a batch; `None` if they depend on its images."""
        return self.image_size or (None, None)


def check_multi_scale(multi_scale: Any, longest_edge: int) -> tuple[int, ...]:
    """Returns the short sides of training at several scales."""
    edges = tuple(multi_scale) if isinstance(multi_scale, (tuple, list)) else ()
    whole = all(isinstance(edge, int) and not isinstance(edge, bool) and 0 < edge <= longest_edge for edge in edges)
    if not edges or not whole:
        raise ValueError(
            f"`multi_scale` must be a tuple of short sides in pixels, from 1 to `longest_edge` ({longest_edge}), got "
            f"{multi_scale!r}."
        )
    return edges


def short_sides(
    shortest_edge: int | None, longest_edge: int, multi_scale: Sequence[int] | None, training: bool
) -> int | tuple[int, ...] | None:
    """Returns the short side of images, or those that are drawn from in training."""
    if multi_scale is None:
        return shortest_edge
    if not training or shortest_edge is None:
        raise ValueError(
            "`multi_scale` comes in the place of `shortest_edge` in training: give it with `training=True` and "
            f"`shortest_edge`, or leave it out, got {multi_scale!r}."
        )
    return check_multi_scale(multi_scale, longest_edge)


def shrink_into(size: tuple[int, int], bucket: tuple[int, int]) -> tuple[int, int]:
    """Returns a size if a bucket holds it, else the largest one in its proportions that it holds."""
    return size if holds(bucket, size) else fit(size, bucket)


def pad_sample(sample: dict, box_frames: bool) -> dict:
    """Pads an image to its bucket, and its masks too, unless they are in the frames of their boxes."""
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(sample["images"])[:2])
    rows, columns = sample["bucket"][0] - height, sample["bucket"][1] - width
    sample = {**sample, "images": pad_image(sample["images"], sample["bucket"])}
    if "masks" in sample and not box_frames:
        sample["masks"] = tf.pad(sample["masks"], [[0, 0], [0, rows], [0, columns]])
    return sample


def flip_rate(flip: float | None, training: bool) -> float:
    """Returns the probability of mirroring, by default 0.5 in training."""
    if flip is None:
        return FLIP_RATE if training else 0.0
    if isinstance(flip, bool) or not isinstance(flip, (int, float)) or not 0 <= flip <= 1:
        raise ValueError(f"`flip` must be a probability, a number from 0 to 1, got {flip!r}.")
    if flip and not training:
        raise ValueError(f"`flip` is for training: boxes on mirrored images do not map back, got {flip!r}.")
    return float(flip)


def flip_labels(sample: dict) -> dict:
    """Mirrors the xyxy boxes of an image and its masks, of the image or of the boxes, left to right."""
    import tensorflow as tf

    width = tf.cast(sample["size"][1], "float32")
    left, top, right, bottom = tf.unstack(sample["boxes"], axis=-1)
    flipped = {**sample, "boxes": tf.stack([width - right, top, width - left, bottom], axis=-1)}
    if "masks" in sample:
        flipped["masks"] = tf.reverse(sample["masks"], [2])
    return flipped
