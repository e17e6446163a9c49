"""Seeded inputs for the parts of the detector, the same when fixtures are made and when tests run.

`numpy.random.RandomState` is used because its stream is frozen for good.
"""

import pathlib

import numpy as np

SIZE = (160, 208)  # of the images of one level, stride 8
STRIDE = 8
PYRAMID_SIZE = (512, 640)  # of the images of all levels
PYRAMID_STRIDES = (4, 8, 16, 32)
OUTPUT_SIZES = (7, 14)
NMS_SETS = 100


def torchvision_results():
    """The arrays of `make_torchvision_detection.py`."""
    return dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "torchvision_detection.npz"))


def feature(stride, size=SIZE, batch=2, channels=2):
    """`(B, H / stride, W / stride, C)`, float32."""
    shape = (batch, size[0] // stride, size[1] // stride, channels)
    return np.random.RandomState(stride).standard_normal(shape).astype("float32")


def pyramid():
    """Features of strides 4 to 32."""
    return [feature(stride, PYRAMID_SIZE) for stride in PYRAMID_STRIDES]


def boxes():
    """`(2, 12, 4)` as xyxy on images of `SIZE`: inside, over each border, outside, tiny and without area."""
    random = np.random.RandomState(7)
    corner, sides = random.uniform(0, 100, (2, 12, 2)), random.uniform(10, 100, (2, 12, 2))
    corner[:, 4], corner[:, 5], corner[:, 6] = (-30, -20), (150, 120), (-100, 30)
    sides[:, 6] = (400, 50)
    corner[:, 7] = (230, 190)  # beyond the last pixel
    sides[0, 8:11] = (0.1, 0.1), (2, 0.5), (0.7, 40)
    sides[1, 8:11] = (1, 1), (0.3, 2), (60, 0.2)
    sides[0, 11], sides[1, 11] = (0, 0), (0, 25)
    return np.concatenate([corner, corner + sides], axis=-1).astype("float32")


def pyramid_boxes():
    """`(2, 12, 4)` as xyxy on images of `PYRAMID_SIZE`, some for each level and some at the levels' edges."""
    random = np.random.RandomState(8)
    sides = np.exp(random.uniform(np.log(8), np.log(640), (2, 12, 2)))
    sides[:, :8] = np.array([0, 0.5, 112, 224, 448, 111.99, 223.99, 447.99])[:, None]
    sides[1, 2:8] *= (0.5, 2.0)  # the same areas
    centre = random.uniform(0.2, 0.8, (2, 12, 2)) * PYRAMID_SIZE[::-1]
    corner = np.round(centre - sides / 2)  # so that the sides stay exact in float32
    return np.concatenate([corner, corner + sides], axis=-1).astype("float32")


def cotangent(output_size):
    """Weights `(2, 12, S, S, 2)` of the sum whose gradient is stored."""
    return np.random.RandomState(output_size).standard_normal((2, 12, output_size, output_size, 2)).astype("float32")


def nms_set(number):
    """Boxes `(n, 4)` by descending score, scores without ties, classes and the threshold of set `number`."""
    random = np.random.RandomState(1500 + number)  # no overlap is within 1e-5 of the threshold
    rows, num_classes = random.randint(1, 120), (1, 2, 5, 20)[number % 4]
    crowd = random.randint(0, 1 + rows // 6, rows)  # which object a box is about
    corner, sides = random.uniform(0, 60, (rows, 2))[crowd], random.uniform(15, 60, (rows, 2))[crowd]
    boxes = np.concatenate([corner, corner + sides], axis=-1) + random.uniform(-2, 2, (rows, 4))
    scores = (1.0 + random.permutation(rows)) / (rows + 1.0)
    order = np.argsort(-scores)
    return {
        "boxes": boxes.astype("float32"),
        "scores": scores[order].astype("float32"),
        "classes": random.randint(0, num_classes, rows).astype("int32"),
        "iou_threshold": (0.3, 0.5, 0.7, 0.05, 0.9)[number % 5],
    }
