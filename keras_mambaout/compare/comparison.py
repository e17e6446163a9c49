"""Runs one model on several backends, side by side: `compare_backends` and `keras-mambaout compare`."""

import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mambaout.compare import models
from keras_mambaout.compare.differences import TOLERANCES, compare_results, disagreements
from keras_mambaout.compare.report import check_can_draw, write_report
from keras_mambaout.compare.run import BACKENDS, Run
from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import create_model
from keras_mambaout.models.saved import SUFFIX, local_path, names_saved_model
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.reading import load_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def compare_backends(
    model: str = "mambaout_tiny",
    weights: str | os.PathLike | None = None,
    backends: Sequence[str] = BACKENDS,
    batch_size: int = 8,
    size: int = 224,
    precision: str = "float32",
    steps: int = 20,
    images: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    learning_rate: float = 1e-4,
    tolerance: Mapping[str, float] | None = None,
    verbose: bool = True,
) -> dict[str, Any]:
    """Runs one model on several backends with the same weights and images, and compares them.

    Each backend runs in its own process. Forward passes and train steps are timed in turn, A B C A B C, so that
    a busy machine slows all backends alike; the first call, which compiles, is reported separately.

    Args:
        model: One of `list_models()`, a model of `keras.applications` such as `"ConvNeXtTiny"`, or
            an address for `load_model`, such as a `.keras` file, which brings its own weights and precision.
        weights: As for `create_model`. `None` draws random ones, the same for all backends.
        backends: Names among `"tensorflow"`, `"jax"`, `"torch"`. One that is not installed or
            fails becomes a row of the report that says so.
        batch_size: Images in the batch.
        size: Height and width of the images in pixels.
        precision: `"float32"` or `"mixed_bfloat16"`.
        steps: How many forward passes and train steps are timed, and how many steps of `model.fit` are compared.
        images: Folder of images, with or without a subfolder for each class; `None` takes random noise.
        output: Folder for `compare.json`, `compare.md` and `compare.png`; `None` writes nothing.
        learning_rate: Learning rate of AdamW.
        tolerance: `{"layers": ..., "gradients": ..., "losses": ...}`, differences relative to the
            largest value; those left out are `compare.TOLERANCES[precision]`.
        verbose: Whether to show a progress bar.

    Returns:
        The report, which is also what `compare.json` holds: `backends` (for each either `error`, or versions,
        device, times in seconds, images/s, peak memory in bytes, losses), `differences` (for each
        pair of backends: outputs, every layer, every gradient, losses), `disagreements` (sentences)
        and `agree`. Outputs are logits where the model can give them.

    Raises:
        ValueError: If an argument is outside what is listed above, no image can be read, or no
            backend could run.
        ImportError: If `output` is given and matplotlib is not installed.

    Example:
    ```python
    report = keras_mambaout.compare_backends("mambaout_femto", batch_size=4, steps=5, output="compare")
    report["backends"]["jax"]["forward"]["median_s"]
    ```
    """
    backends = list(dict.fromkeys(backends))
    _check_arguments(model, weights, backends, batch_size, size, precision, steps, tolerance)
    if output is not None:
        check_can_draw()
    allowed = {**TOLERANCES[precision], **(tolerance or {})}
    report: dict[str, Any] = {
        "model": model,
        "weights": None if weights is None else str(weights),
        "batch_size": batch_size,
        "size": size,
        "precision": precision,
        "steps": steps,
        "images": None if images is None else str(images),
        "learning_rate": learning_rate,
        "tolerance": allowed,
        "backends": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        arguments = {
            "model": local_path(model),  # downloaded once
            "batch": _write_batch(folder / "batch.npz", images, batch_size, size),
            "weights": _write_weights(folder / "model.weights.h5", model, weights, size),
            "precision": precision,
            "learning_rate": learning_rate,
        }
        run = Run(backends, folder, batch_size, steps, verbose)
        try:
            run.start(arguments)
            results = run.measure()
        finally:
            run.close()
    report["backends"] = run.rows
    if not results:
        raise ValueError("No backend could run. " + " ".join(row["error"] for row in run.rows.values()))
    report["differences"] = compare_results(results)
    report["disagreements"] = disagreements(report["differences"], allowed)
    report["agree"] = not report["disagreements"]
    if output is not None:
        write_report(report, output)
    return report


def _check_arguments(model, weights, backends, batch_size, size, precision, steps, tolerance):
    unknown = [backend for backend in backends if backend not in BACKENDS]
    if unknown or not backends:
        raise ValueError(f"`backends` must be among {', '.join(BACKENDS)}, got {', '.join(unknown) or 'none'}.")
    for name, value in (("batch_size", batch_size), ("size", size), ("steps", steps)):
        if value < 1:
            raise ValueError(f"`{name}` must be 1 or more, got {value}.")
    if precision not in TOLERANCES:
        raise ValueError(f"`precision` must be one of {', '.join(TOLERANCES)}, got {precision!r}.")
    if unknown := set(tolerance or {}) - TOLERANCES[precision].keys():
        raise ValueError(f"The keys of `tolerance` are {', '.join(TOLERANCES[precision])}, got {', '.join(unknown)}.")
    if names_saved_model(model):
        if model.endswith(SUFFIX) and not pathlib.Path(model).is_file():
            raise ValueError(f"There is no file {model}.")
        if precision != "float32":
            raise ValueError(f"{model} was saved with its own precision; leave out `precision`.")
    if weights is not None and model not in VARIANTS:
        raise ValueError(f"`weights` are for the models of list_models(), and the model is {model}: leave them out.")


def _write_batch(path, images, batch_size, size):
    """Writes `images` (B, size, size, 3), 0-255, and integer `labels`; returns the path."""
    if images is None:
        rng = np.random.default_rng(0)
        pixels = rng.uniform(0, 255, (batch_size, size, size, 3)).astype("float32")
        labels = np.arange(batch_size)
    else:
        folder = pathlib.Path(images)
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(f"There is no image ({', '.join(IMAGE_SUFFIXES)}) in {folder}: give a folder of images.")
        classes = sorted({file.parent for file in files})
        step = max(1, len(files) // batch_size)  # so that all classes are there
        files = [files[step * index % len(files)] for index in range(batch_size)]
        pixels = np.stack([resize_and_center_crop(load_image(file), size) for file in files])
        labels = np.array([classes.index(file.parent) for file in files])
    np.savez(path, images=pixels.astype("float32"), labels=labels.astype("int32"))
    return str(path)


def _write_weights(path, model, weights, size):
    """Writes the weights that all workers load; returns the path, `None` for a saved model, which has its own."""
    if names_saved_model(model):
        return None
    shape = (size, size, 3)
    if weights is None:
        instance = models.build_model(model, shape)
    else:
        instance = create_model(model, weights=weights, input_shape=shape, classifier_activation=None)
    instance.save_weights(path)
    return str(path)
