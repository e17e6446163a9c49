"""How images get the sizes that a detector takes, and their boxes and masks with them."""

from collections.abc import Sequence

from keras_mambaout.arguments import check_edges, check_positive_integer
from keras_mambaout.data.resizing import PADDING_MARK
from keras_mambaout.preprocessing.fitting import check_size, fit


class ResizeRule:
    """The size of an image after resizing and after padding; its aspect ratio is kept.

    Args:
        image_size: An integer or `(H, W)`: images are resized to fit in, and padded to exactly this.
        shortest_edge: The short side becomes this long, unless the long side would be more than
            `longest_edge`; the image is padded to a multiple of `pad_to_multiple`.
        longest_edge: See `shortest_edge`.
        pad_to_multiple: See `shortest_edge`.

    Raises:
        ValueError: If not exactly one of `image_size` and `shortest_edge` is given, or one is not a size.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = None,
        shortest_edge: int | None = None,
        longest_edge: int = 1333,
        pad_to_multiple: int = 32,
    ) -> None:
        if (image_size is None) == (shortest_edge is None):
            raise ValueError(
                "Exactly one of `image_size` (images padded to one size) and `shortest_edge` (images resized by their "
                f"short side) must be given, got image_size={image_size!r} and shortest_edge={shortest_edge!r}."
            )
        self.pad_to_multiple = check_positive_integer("pad_to_multiple", pad_to_multiple)
        self.image_size = None if image_size is None else check_size("image_size", image_size)
        self.shortest_edge, self.longest_edge = shortest_edge, longest_edge
        if shortest_edge is not None:
            check_edges(shortest_edge, longest_edge)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width of an image after resizing."""
        if self.image_size is not None:
            return fit((height, width), self.image_size)
        short, long = (self.shortest_edge, self.longest_edge)
        return fit((height, width), (short, long) if height < width else (long, short))

    def padded(self, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Returns the height and width of a batch of images of these sizes after resizing."""
        if self.image_size is not None:
            return self.image_size
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        return height + -height % self.pad_to_multiple, width + -width % self.pad_to_multiple

    @property
    def batch_shape(self) -> tuple[int | None, int | None]:
        """Height and width of a batch; `None` if they depend on its images."""
        return self.image_size or (None, None)

    def round_up(self, sample: dict, box_frames: bool = False) -> dict:
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


def flip_sample(sample: dict) -> dict:
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
