"""Runs one model on several backends, side by side: `compare_backends` and `keras-mambaout compare`."""

import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mambaout.backend import BACKENDS
from keras_mambaout.compare import models
from keras_mambaout.compare.differences import TOLERANCES, compare_results, disagreements
from keras_mambaout.compare.report import check_can_draw, write_report
from keras_mambaout.compare.run import Run
from keras_mambaout.compare.tasks import task_of
from keras_mambaout.config import VARIANTS
from keras_mambaout.files import check_output_folder
from keras_mambaout.models.saved import SUFFIX, local_path, names_saved_model
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.reading import find_images, load_image


def compare_backends(
    model: str = "mambaout_tiny",
    weights: str | os.PathLike | None = None,
    backends: str | Sequence[str] = BACKENDS,
    batch_size: int = 8,
    size: int | None = None,
    precision: str = "float32",
    steps: int = 20,
    images: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    learning_rate: float = 1e-4,
    tolerance: Mapping[str, float] | None = None,
    verbose: bool = True,
    token_mixer: str = "conv",
) -> dict[str, Any]:
    """Runs one model on several backends with the same weights and images, and compares them.

    Each backend runs in its own process. Forward passes and train steps are timed in turn, A B C A B C, so that
    a busy machine slows all backends alike; the first call, which compiles, is reported separately.

    A forward pass is `predict_on_batch`, a train step `train_on_batch` with the losses that the model is trained with
    and AdamW. Labels are drawn from a fixed seed: boxes, classes and masks for a detector, label maps for a `UperNet`,
    classes for a classifier (or its folders of `images`). Dropout and drop path are off, since each backend would
    drop something else. Any functional model that is none of these, such as a backbone, gets the mean squared error
    to random targets.

    Compared are the outputs of all layers in the model's order, the gradients of the model's loss, and the losses of
    `fit`. Of a detector the outputs are compared before they are decoded, and the second stage of a `MaskRCNN` with
    given boxes: which boxes come first, and which of two that overlap is dropped, may depend on rounding. In training,
    a `MaskRCNN` and KerasCV's YOLOv8 make such choices too; should one of them fall differently, gradients and losses
    differ by more than is allowed, at few weights or in one step.

    Args:
        model: One of `list_models()`, a model of `keras.applications` such as `"ConvNeXtTiny"`, or
            an address for `load_model`, such as a `.keras` file, which brings its own weights and precision: a
            classifier, `MaskRCNN`, `UperNet`, a detector of `keras_mambaout.integrations`, or another functional
            model of images.
        weights: As for `create_model`. `None` draws random ones, the same for all backends.
        backends: Names among `"tensorflow"`, `"jax"`, `"torch"`, a list or separated by commas. One that is not
            installed or fails becomes a row of the report that says so.
        batch_size: Images in the batch.
        size: Height and width of the images in pixels, 32 or more. `None` is what the model was trained for
            (`model.inference_settings`: a classifier's image size, a detector's shortest edge, the crop of a
            `UperNet`), or else 224.
        precision: `"float32"` or `"mixed_bfloat16"`.
        steps: How many forward passes and train steps are timed, and how many steps of `model.fit` are compared.
        images: Folder of images, with or without a subfolder for each class; `None` takes random noise.
        output: Folder for `compare.json`, `compare.md` and `compare.png`; `None` writes nothing.
        learning_rate: Learning rate of AdamW.
        tolerance: `{"layers": ..., "gradients": ..., "losses": ...}`, differences relative to the
            largest value (of a gradient, or a tenth of the largest of its layer); those left out are
            `compare.TOLERANCES[precision]`, but 5e-2 for the gradients of a `UperNet`, whose batch normalisation
            over few images magnifies rounding, and of a `MaskRCNN`, which draws its samples from what it predicts.
        verbose: Whether to show a progress bar.
        token_mixer: As for `create_model`; a model that is not of `list_models()` has its own, in the report `None`.

    Returns:
        The report, which is also what `compare.json` holds: `task`, `weights` (`"drawn"`, a published name or a file),
        `size` and the other arguments, `backends` (for each either `error`, or versions,
        device, times in seconds, images/s, peak memory in bytes, losses), `differences` (for each
        pair of backends: outputs, every layer, every gradient, losses), `disagreements` (sentences)
        and `agree`. Outputs are logits where the model can give them.

    Raises:
        ValueError: If an argument is outside what is listed above, the model is of a kind that cannot be compared,
            no image can be read, or no backend could run.
        ImportError: If `output` is given and matplotlib is not installed.

    Example:
    ```python
    report = keras_mambaout.compare_backends("mambaout_femto", batch_size=4, steps=5, output="compare")
    report["backends"]["jax"]["forward"]["median_s"]
    keras_mambaout.compare_backends("upernet.keras", backends="jax,torch", batch_size=2)
    ```
    """
    backends = list(dict.fromkeys(backends.split(",") if isinstance(backends, str) else backends))
    _check_arguments(model, weights, backends, batch_size, precision, steps, tolerance, token_mixer)
    if output is not None:
        check_can_draw()
        check_output_folder(output)
    path = local_path(model)  # downloaded once
    instance = models.build_model(path, size, weights, token_mixer)
    task = task_of(instance)
    shape = models.image_shape(task.network, model, size, getattr(instance, "inference_settings", None))
    if names_saved_model(model):
        precision = models.precision_of(task.network)
    usual = {kind: max(value, task.least_tolerance.get(kind, 0.0)) for kind, value in TOLERANCES[precision].items()}
    allowed = {**usual, **(tolerance or {})}
    report: dict[str, Any] = {
        "model": model,
        "task": task.name,
        "weights": models.weights_name(model, weights),
        "token_mixer": token_mixer if model in VARIANTS else None,
        "batch_size": batch_size,
        "size": shape[0],
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
            "model": path,
            "batch": _write_batch(folder / "batch.npz", images, (batch_size, *shape)),
            "weights": _write_weights(folder / "model.weights.h5", model, instance),
            "precision": precision,
            "learning_rate": learning_rate,
            "token_mixer": token_mixer,
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


def _check_arguments(model, weights, backends, batch_size, precision, steps, tolerance, token_mixer):
    unknown = [backend for backend in backends if backend not in BACKENDS]
    if unknown or not backends:
        raise ValueError(f"`backends` must be among {', '.join(BACKENDS)}, got {', '.join(unknown) or 'none'}.")
    for name, value in (("batch_size", batch_size), ("steps", steps)):
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
    if token_mixer != "conv" and model not in VARIANTS:
        raise ValueError(
            f"`token_mixer` is for the models of list_models(), got {token_mixer!r}, and the model is {model}: "
            "leave it out."
        )


def _write_batch(path, images, shape):
    """Writes `images` of this shape `(B, H, W, C)`, 0-255, and integer `labels`; returns the path."""
    batch_size, size, _, channels = shape
    if images is None:
        pixels = np.random.default_rng(0).uniform(0, 255, shape)
        labels = np.arange(batch_size)
    elif channels != 3:
        raise ValueError(f"`images` are RGB, and the model takes {channels} channels: leave them out.")
    else:
        files = find_images(images)
        classes = sorted({file.parent for file in files})
        step = max(1, len(files) // batch_size)  # so that all classes are there
        files = [files[step * index % len(files)] for index in range(batch_size)]
        pixels = np.stack([resize_and_center_crop(load_image(file), size) for file in files])
        labels = np.array([classes.index(file.parent) for file in files])
    np.savez(path, images=pixels.astype("float32"), labels=labels.astype("int32"))
    return str(path)


def _write_weights(path, model, instance):
    """Writes the weights that all workers load; returns the path, `None` for a saved model, which has its own."""
    if names_saved_model(model):
        return None
    instance.save_weights(path)
    return str(path)
