"""Seeded inputs for the parts of UperNet, the same when fixtures are made and when tests run.

`numpy.random.RandomState` is used because its stream is frozen for good.
"""

import pathlib

import numpy as np

POOL_SCALES = (1, 2, 3, 6)
POOL_SIZES = ((16, 16), (15, 17), (7, 5), (1, 1), (2, 3), (6, 6), (13, 12), (5, 20), (32, 64), (9, 4))
RESIZES = (  # of and to
    ((1, 1), (7, 5)),
    ((2, 2), (16, 16)),
    ((3, 3), (15, 17)),
    ((6, 6), (13, 12)),
    ((16, 16), (40, 44)),
    ((8, 12), (31, 47)),
    ((5, 7), (20, 29)),
    ((9, 4), (9, 8)),
    ((16, 15), (15, 9)),
    ((4, 6), (5, 6)),
)


def torch_results():
    """The arrays of `make_torch_segmentation.py`."""
    return dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "torch_segmentation.npz"))


def feature(size):
    """`(2, H, W, 3)`, float32."""
    return np.random.RandomState(100 * size[0] + size[1]).standard_normal((2, *size, 3)).astype("float32")


def cotangent(size):
    """Weights of the sum whose gradient is stored, of the same shape as a result."""
    return np.random.RandomState(7 + 100 * size[0] + size[1]).standard_normal((2, *size, 3)).astype("float32")


def pool_name(size, scale):
    return f"pool/{size[0]}x{size[1]}/{scale}"


def resize_name(old, new):
    return f"resize/{old[0]}x{old[1]}/{new[0]}x{new[1]}"


def logits_and_labels(seed=0, shape=(2, 5, 7), classes=4):
    """Logits `(*shape, classes)`, float32, and labels, int32, a third of them ignored (255)."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, classes, shape)
    labels[random.uniform(size=shape) < 0.33] = 255
    return 2 * random.standard_normal((*shape, classes)).astype("float32"), labels.astype("int32")
