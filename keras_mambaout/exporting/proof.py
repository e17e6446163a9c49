"""The proof of an exported file: its own runtime against Keras, on the same images."""

import dataclasses
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from keras_mambaout.exporting.running import NO_BACKEND, ROUNDS, timed
from keras_mambaout.exporting.writing import run_process
from keras_mambaout.rounding import relative_difference

SIZES = ((96, 128), (160, 128))  # of the images, where heights and widths are free
KERAS_NEEDED = {"saved_model": "tensorflow"}  # TensorFlow imports Keras when it loads one
LEAST = 1e-30  # where Keras gives zeros alone, any difference is too large
COUNTS = (2, 3)  # of the images of a batch, where it is free


@dataclasses.dataclass(frozen=True)
class Proof:
    """What came out.

    Args:
        difference: For each output the largest difference, relative to the largest value of Keras' output.
        keras_seconds: The median of the seconds for a batch in Keras.
        file_seconds: The same in the file's runtime.
        batches: Shapes of the images that were compared.
    """

    difference: dict[str, float]
    keras_seconds: float
    file_seconds: float
    batches: list[tuple[int, ...]]

    @property
    def largest(self) -> float:
        """The largest difference of all outputs."""
        return max(self.difference.values())


def prove(folder: str, manifest: Mapping[str, Any], model: keras.Model, photos: Sequence[np.ndarray]) -> Proof:
    """Runs an exported model in a process without Keras and compares what it gives with the Keras model.

    Args:
        folder: The exported model, with its manifest.
        manifest: What it says.
        model: The Keras model, which takes images 0-255.
        photos: uint8 arrays `(H, W, 3)`.
    """
    batches = list(_batches(manifest["inputs"], photos))
    with tempfile.TemporaryDirectory() as part:
        given, found = (str(pathlib.Path(part) / name) for name in ("inputs.npz", "outputs.npz"))
        np.savez(
            given,
            **{f"{number}/{name}": array for number, batch in enumerate(batches) for name, array in batch.items()},
        )
        run_process(
            [sys.executable, "-m", "keras_mambaout.exporting.running", folder, given, found],
            {"KERAS_BACKEND": KERAS_NEEDED.get(manifest["format"], NO_BACKEND)},
        )
        outputs = dict(np.load(found))
    seconds = float(outputs.pop("seconds"))
    difference: dict[str, float] = {}
    for number, batch in enumerate(batches):
        names = [name for name in outputs if name.startswith(f"{number}/")]
        wanted = model.predict_on_batch(batch if len(batch) > 1 else batch["images"])
        for name in names:
            key = name.partition("/")[2]
            value = wanted[key] if isinstance(wanted, dict) else wanted
            difference[key] = max(
                difference.get(key, 0.0),
                relative_difference(np.asarray(outputs[name], "float64"), np.asarray(value, "float64"), least=LEAST),
            )
    first = batches[0] if len(batches[0]) > 1 else batches[0]["images"]
    keras_seconds = statistics.median(timed(lambda: model.predict_on_batch(first)) for _ in range(ROUNDS))
    return Proof(difference, keras_seconds, seconds, [batch["images"].shape for batch in batches])


def _batches(inputs, photos):
    """Yields one batch, or two of other sizes where the file takes those."""
    count, height, width, channels = inputs["images"]
    for turn in range(2 if None in (count, height, width) else 1):
        size = (height or SIZES[turn][0], width or SIZES[turn][1])
        resized = [np.asarray(Image.fromarray(photo).resize(size[::-1]), "float32") for photo in photos]
        images = np.stack([resized[number % len(resized)] for number in range(count or COUNTS[turn])])
        batch = {"images": images[..., np.arange(channels) % 3]}
        if "sizes" in inputs:
            batch["sizes"] = np.array([size] * len(images), "int32")
        yield batch


def drawn_photos() -> list[np.ndarray]:
    """Returns two pictures with edges and gradients of all colours, for where no photos are given."""
    rows, columns = np.mgrid[0:240, 0:320]
    waves = [128 + 127 * np.sin(rows / (5 + 7 * k) + columns / (23 - 6 * k)) for k in range(3)]
    first = np.stack(waves, axis=-1)
    second = np.where((rows // 40 + columns // 40)[..., None] % 2 == 0, first, 255 - first[::-1])
    return [first.astype("uint8"), second.astype("uint8")]
