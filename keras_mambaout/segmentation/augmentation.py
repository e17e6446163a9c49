"""What the paper does to images and label maps in training."""

import dataclasses
from typing import Any

from keras_mambaout.arguments import check_number, check_range
from keras_mambaout.data.resizing import resize_image
from keras_mambaout.segmentation.label_map_files import IGNORED

TRIES = 10  # crops that may have too much of one class, before the next is taken as it is
SCALE, FLIP, COLOUR, CROP = range(4)  # what random numbers are drawn for
BRIGHTNESS, FACTORS, HUE = 32.0, (0.5, 1.5), 0.1  # hue: of a full circle


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationAugmentation:
    """Random size, crop, mirroring and colours; the defaults are the paper's.

    Args:
        scale_range: Images are resized by a factor between these numbers, on top of the resizing to `shortest_edge`.
        cat_max_ratio: A crop is drawn anew, up to 10 times, if a class has this share or more of its labelled pixels,
            or they are of one class; 1 takes the first crop.
        flip: Probability of mirroring.
        photometric_distortion: Whether brightness, contrast, saturation and hue are changed, each with probability
            one half: by up to 32 of 255, by a factor from 0.5 to 1.5 (both), and by up to a tenth of the colour circle.

    Raises:
        ValueError: If a number is out of range.

    Example:
    ```python
    batches = dataset.batches(16, training=True, augmentation=SegmentationAugmentation(scale_range=(1.0, 1.0)))
    ```

    Source: `Resize`, `RandomCrop`, `RandomFlip` and `PhotoMetricDistortion` of
    [mmsegmentation](https://github.com/open-mmlab/mmsegmentation), in this order
    """

    scale_range: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    photometric_distortion: bool = True

    def __post_init__(self) -> None:
        check_range("scale_range", self.scale_range)
        check_number("cat_max_ratio", self.cat_max_ratio, 1.0)
        check_number("flip", self.flip, 1.0)
        if not isinstance(self.photometric_distortion, bool):
            raise ValueError(f"`photometric_distortion` must be True or False, got {self.photometric_distortion!r}.")

    def __call__(self, image: Any, labels: Any, sides: tuple[int, int], crop_size: int, draw: Any) -> tuple[Any, Any]:
        """Returns a crop of an image, float32, and of its labels, at most `crop_size` high and wide.

        It is a function of `draw`, an int64 tensor `(2,)`. `sides` are those of `resized`.
        """
        import tensorflow as tf

        scale = _uniform(draw, SCALE, (), *self.scale_range)
        size = resized(tf.shape(labels), sides, scale)
        labels = resize_labels(labels, size)
        place, part = random_place(labels, crop_size, self.cat_max_ratio, draw)
        image, labels = resize_image(image, size, place, part), tf.slice(labels, place, part)
        image = tf.ensure_shape(image, (None, None, 3))
        flipped = _uniform(draw, FLIP, ()) < self.flip
        image, labels = (tf.cond(flipped, lambda a=a: tf.reverse(a, [1]), lambda a=a: a) for a in (image, labels))
        return distort_colours(image, _uniform(draw, COLOUR, (9,))) if self.photometric_distortion else image, labels


def resized(size: Any, sides: tuple[int, int], scale: Any = 1.0) -> Any:
    """Returns the height and width of an image of `size` after resizing, int32 `(2,)`.

    With `sides = (shortest_edge, longest_edge)`, the short side becomes `scale * shortest_edge`, unless the long side
    would be more than `scale * longest_edge`.
    """
    import tensorflow as tf

    size, (shortest_edge, longest_edge) = tf.cast(size, tf.float32), sides
    factor = scale * tf.minimum(shortest_edge / tf.reduce_min(size), longest_edge / tf.reduce_max(size))
    return tf.maximum(tf.cast(size * factor + 0.5, tf.int32), 1)


def resize_labels(labels: Any, size: Any) -> Any:
    """Returns a label map `(H, W)` at a new size: each pixel has the label of the nearest."""
    import tensorflow as tf

    return tf.image.resize(labels[..., None], size, method="nearest")[..., 0]


def random_place(labels: Any, crop_size: int, cat_max_ratio: float, draw: Any) -> tuple[Any, Any]:
    """Returns what to cut out of an image with these labels: the top and left, and the height and width."""
    import tensorflow as tf

    part = tf.minimum(tf.shape(labels), crop_size)
    places = tf.cast(tf.shape(labels) - part + 1, tf.float32)

    def corner(number):
        return tf.cast(_uniform(draw, CROP + number, (2,)) * places, tf.int32)

    def is_mixed(place):
        chosen = tf.cast(tf.reshape(tf.slice(labels, place, part), [-1]), tf.int32)
        counts = tf.math.bincount(chosen, minlength=256, maxlength=256)[:IGNORED]
        share = tf.reduce_max(counts) / tf.maximum(tf.reduce_sum(counts), 1)
        return tf.logical_and(tf.math.count_nonzero(counts) > 1, share < cat_max_ratio)

    place = corner(0)
    if cat_max_ratio < 1.0:
        _, place = tf.while_loop(
            lambda number, place: tf.logical_and(number < TRIES, tf.logical_not(is_mixed(place))),
            lambda number, place: (number + 1, corner(number + 1)),
            (0, place),
        )
    return place, part


def distort_colours(image: Any, draws: Any) -> Any:
    """Changes brightness, contrast, saturation and hue of an image, 0-255, by nine numbers from 0 to 1.

    The first four switch the changes on if they are below one half; the next four say by how much; the last says
    whether contrast comes before saturation and hue or after them.
    """
    import tensorflow as tf

    amounts = [tf.where(draws[i] < 0.5, draws[i + 4], 0.5) for i in range(4)]  # 0.5 changes nothing
    brightness = BRIGHTNESS * (2.0 * amounts[0] - 1.0)
    contrast, saturation = (FACTORS[0] + amount * (FACTORS[1] - FACTORS[0]) for amount in amounts[1:3])
    hue = HUE * (2.0 * amounts[3] - 1.0)
    first = draws[8] < 0.5
    image = tf.clip_by_value(image + brightness, 0.0, 255.0)
    image = tf.clip_by_value(image * tf.where(first, contrast, 1.0), 0.0, 255.0)
    image = tf.cond(draws[2] < 0.5, lambda: tf.image.adjust_saturation(image, saturation), lambda: image)
    image = tf.cond(draws[3] < 0.5, lambda: tf.image.adjust_hue(image, hue), lambda: image)
    return tf.clip_by_value(image * tf.where(first, 1.0, contrast), 0.0, 255.0)


def _uniform(draw, purpose, shape, low=0.0, high=1.0):
    """Returns random numbers, a function of `draw` and what they are drawn for."""
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, tf.random.fold_in(draw, tf.cast(purpose, tf.int64)), low, high)
