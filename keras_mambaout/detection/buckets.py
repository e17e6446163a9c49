"""The few sizes that all batches of a detector have, whatever the sizes of its images: its buckets."""

import functools
import itertools
from typing import Any

import numpy as np

from keras_mambaout.data.grouping import share_out
from keras_mambaout.data.seeds import RESIZE
from keras_mambaout.preprocessing.fitting import fit

STEPS = 3  # sizes of an orientation
PHOTOS = {(3, 4): 5, (2, 3): 4, (9, 16): 1}  # how frequent heights to widths are, about as in COCO


@functools.cache
def choose_buckets(edges: tuple[int, ...], longest_edge: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """Returns at most three heights and widths for wide images, from small to large, then the same for high ones.

    The last one holds every image. The others are sizes of photos of the usual proportions at one of the short sides:
    those that leave the least padding around such photos, if each short side is as frequent.

    Args:
        edges: The short sides of the images.
        longest_edge: The most that their long side may be.
        multiple: What heights and widths of buckets are multiples of.

    Example:
    ```python
    choose_buckets((800,), 1333, 32)[:3]  # (800, 1088) for 4:3, (800, 1216) for 3:2, (800, 1344)
    ```
    """
    shares = {}
    for edge, (shape, share) in itertools.product(edges, PHOTOS.items()):
        size = _round_up(fit(shape, (edge, longest_edge)), multiple)
        shares[size] = shares.get(size, 0) + share
    largest = _round_up((max(edges), longest_edge), multiple)
    sizes = sorted(shares)
    count = min(STEPS - 1, len(sizes))
    areas = {
        buckets: sum(share * _area(_smallest(buckets, size)) for size, share in shares.items())
        for buckets in ((*some, largest) for some in itertools.combinations(sizes, count))
    }
    wide = sorted(set(min(areas, key=areas.get)), key=_area)
    return (*wide, *((width, height) for height, width in wide))


class EpochPlan:
    """Which short side and which bucket each image has in an epoch of training, and how many batches each bucket has.

    Args:
        sizes: Original heights and widths of the images that are trained on, `(n, 2)`.
        indices: Their indices in the source, `(n,)`.
        count: `N`, images of the source.
        resize: `ResizeRule`.
        steps: Batches of an epoch.
        seed: What the short sides depend on.
    """

    def __init__(self, sizes: np.ndarray, indices: np.ndarray, count: int, resize: Any, steps: int, seed: int) -> None:
        self.indices, self.count, self.steps, self.seed = indices, count, steps, seed
        self.edges, self.groups = np.array(resize.edges), len(resize.buckets)
        self.buckets = bucket_numbers(sizes, resize)

    def __call__(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the short side `(N,)` and the number of the bucket `(N,)` of each image, and batches per bucket."""
        random = np.random.default_rng([self.seed, RESIZE, epoch])
        drawn = random.integers(len(self.edges), size=len(self.indices))
        edges, buckets = np.zeros((2, self.count), "int64")
        edges[self.indices] = self.edges[drawn]
        buckets[self.indices] = np.take_along_axis(self.buckets, drawn[:, None], 1)[:, 0]
        counts = np.bincount(buckets[self.indices], minlength=self.groups)
        return edges, buckets, share_out(counts, self.steps, random)


def bucket_numbers(sizes: np.ndarray, resize: Any) -> np.ndarray:
    """Returns the number of the bucket of each image `(N, 2)` at each short side of a `ResizeRule`, `(N, E)`."""
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    table = [[resize.bucket(resize.resized(*size, edge)) for edge in resize.edges] for size in different.tolist()]
    return np.array(table, "int64")[which.reshape(-1)]


def holds(bucket: tuple[int, int], size: tuple[int, int]) -> bool:
    """Returns whether an image of a size fits into a bucket."""
    return bucket[0] >= size[0] and bucket[1] >= size[1]


def _round_up(size, multiple):
    return tuple(side + -side % multiple for side in size)


def _area(size):
    return size[0] * size[1]


def _smallest(buckets, size):
    """Returns the smallest of the buckets that hold a size."""
    return min((bucket for bucket in buckets if holds(bucket, size)), key=_area)
