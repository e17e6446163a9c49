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

        It is a function of `draw`, an int64 tensor `(2,)`. `sides` are those of `resize_pair`.
        """
        import tensorflow as tf

        scale = _uniform(draw, SCALE, (), *self.scale_range)
        image, labels = resize_pair(image, labels, sides, scale)
        image, labels = random_crop(image, labels, crop_size, self.cat_max_ratio, draw)
        flipped = _uniform(draw, FLIP, ()) < self.flip
        image, labels = (tf.where(flipped, array[:, ::-1], array) for array in (image, labels))
        return distort_colours(image, _uniform(draw, COLOUR, (9,))) if self.photometric_distortion else image, labels


def resize_pair(image: Any, labels: Any, sides: tuple[int, int], scale: Any = 1.0) -> tuple[Any, Any]:
    """Resizes an image, bilinear, and its labels, to the nearest pixel, and keeps the aspect ratio.

    With `sides = (shortest_edge, longest_edge)`, the short side becomes `scale * shortest_edge`, unless the long side
    would be more than `scale * longest_edge`.
    """
    import tensorflow as tf

    size, (shortest_edge, longest_edge) = tf.cast(tf.shape(labels), tf.float32), sides
    factor = scale * tf.minimum(shortest_edge / tf.reduce_min(size), longest_edge / tf.reduce_max(size))
    size = tf.maximum(tf.cast(size * factor + 0.5, tf.int32), 1)
    labels = tf.image.resize(labels[..., None], size, method="nearest")[..., 0]
    return resize_image(image, size), labels


def random_crop(image: Any, labels: Any, crop_size: int, cat_max_ratio: float, draw: Any) -> tuple[Any, Any]:
    """Cuts the same part, at most `crop_size` high and wide, out of an image and its labels."""
    import tensorflow as tf

    size = tf.minimum(tf.shape(labels), crop_size)
    places = tf.cast(tf.shape(labels) - size + 1, tf.float32)

    def corner(number):
        return tf.cast(_uniform(draw, CROP + number, (2,)) * places, tf.int32)

    def is_mixed(place):
        part = tf.cast(tf.reshape(tf.slice(labels, place, size), [-1]), tf.int32)
        counts = tf.math.bincount(part, minlength=256, maxlength=256)[:IGNORED]
        share = tf.reduce_max(counts) / tf.maximum(tf.reduce_sum(counts), 1)
        return tf.logical_and(tf.math.count_nonzero(counts) > 1, share < cat_max_ratio)

    place = corner(0)
    if cat_max_ratio < 1.0:
        _, place = tf.while_loop(
            lambda number, place: tf.logical_and(number < TRIES, tf.logical_not(is_mixed(place))),
            lambda number, place: (number + 1, corner(number + 1)),
            (0, place),
        )
    image = tf.slice(image, tf.concat([place, [0]], 0), tf.concat([size, [3]], 0))
    return tf.ensure_shape(image, (None, None, 3)), tf.slice(labels, place, size)


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
    h, s, v = tf.unstack(tf.image.rgb_to_hsv(image / 255.0), axis=-1)
    h, s = tf.math.floormod(h + hue, 1.0), tf.clip_by_value(s * saturation, 0.0, 1.0)
    image = 255.0 * tf.image.hsv_to_rgb(tf.stack([h, s, v], axis=-1))
    return tf.clip_by_value(image * tf.where(first, 1.0, contrast), 0.0, 255.0)


def _uniform(draw, purpose, shape, low=0.0, high=1.0):
    """Returns random numbers, a function of `draw` and what they are drawn for."""
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, tf.random.fold_in(draw, tf.cast(purpose, tf.int64)), low, high)
