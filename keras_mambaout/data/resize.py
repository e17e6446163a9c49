"""How images get the sizes that a detector takes, and their boxes and masks with them."""

from keras_mambaout.arguments import check_positive_integer, check_sides
from keras_mambaout.preprocessing.letterbox import PADDING_COLOR, check_size, fit

PADDING_MARK = -1.0  # no pixel has it


class ResizeRule:
    """The size of an image after resizing and after padding; its aspect ratio is kept.

    Args:
        image_size: An integer or `(H, W)`: images are resized to fit in, and padded to exactly this.
        short_side: The short side becomes this long, unless the long side would be more than
            `long_side`; the image is padded to a multiple of `pad_to_multiple`.
        long_side: See `short_side`.
        pad_to_multiple: See `short_side`.

    Raises:
        ValueError: If not exactly one of `image_size` and `short_side` is given, or one is no size.
    """

    def __init__(self, image_size=None, short_side=None, long_side=1333, pad_to_multiple=32):
        if (image_size is None) == (short_side is None):
            raise ValueError(
                "Exactly one of `image_size` (images padded to one size) and `short_side` (images resized by their "
                f"short side) must be given, got image_size={image_size!r} and short_side={short_side!r}."
            )
        self.pad_to_multiple = check_positive_integer("pad_to_multiple", pad_to_multiple)
        self.image_size = None if image_size is None else check_size("image_size", image_size)
        self.short_side, self.long_side = short_side, long_side
        if short_side is not None:
            check_sides(short_side, long_side)

    def resized(self, height, width):
        """Returns the height and width of an image after resizing."""
        if self.image_size is not None:
            return fit((height, width), self.image_size)
        short, long = (self.short_side, self.long_side)
        return fit((height, width), (short, long) if height < width else (long, short))

    @property
    def batch_shape(self):
        """Height and width of a batch; `None` where it depends on its images."""
        return self.image_size or (None, None)

    def round_up(self, sample, box_frames=False):
        """Pads an image, marked as padding, to the multiple that batches must have.

        Its masks too, unless they are in the frames of their boxes.
        """
        if self.image_size is not None or self.pad_to_multiple == 1:
            return sample
        import tensorflow as tf

        height, width = tf.unstack(tf.shape(sample["images"])[:2])
        rows, columns = -height % self.pad_to_multiple, -width % self.pad_to_multiple
        images = tf.pad(sample["images"], [[0, rows], [0, columns], [0, 0]], constant_values=PADDING_MARK)
        sample = {**sample, "images": images}
        if "masks" in sample and not box_frames:
            sample["masks"] = tf.pad(sample["masks"], [[0, 0], [0, rows], [0, columns]])
        return sample


def resize_image(image, size):
    """Returns an image `(H, W, 3)` as float32 of another size, bilinear with antialias, 0-255."""
    import tensorflow as tf

    image = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.clip_by_value(image, 0.0, 255.0)


def flip_sample(sample):
    """Mirrors an image, its xyxy boxes and its masks, of the image or of the boxes, left to right."""
    import tensorflow as tf

    width = tf.cast(tf.shape(sample["images"])[1], "float32")
    left, top, right, bottom = tf.unstack(sample["boxes"], axis=-1)
    flipped = {
        **sample,
        "images": sample["images"][:, ::-1],
        "boxes": tf.stack([width - right, top, width - left, bottom], axis=-1),
    }
    if "masks" in sample:
        flipped["masks"] = sample["masks"][:, :, ::-1]
    return flipped


def fill_padding(images):
    """Gives the pixels that are marked as padding ImageNet's mean colour."""
    import tensorflow as tf

    return tf.where(images < 0.5 * PADDING_MARK, tf.constant(PADDING_COLOR), images)
