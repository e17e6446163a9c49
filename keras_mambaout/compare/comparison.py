"""Runs one model on several backends, side by side: `keras_mambaout.compare` and `keras-mambaout compare`."""

import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np

from keras_mambaout.compare import models
from keras_mambaout.compare.differences import TOLERANCES, compare_backends, disagreements
from keras_mambaout.compare.process import Worker, WorkerError, keras_worker_command
from keras_mambaout.compare.report import check_can_draw, write_report
from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import create_model
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop
from keras_mambaout.preprocessing.reading import load_image

BACKENDS = ("tensorflow", "jax", "torch")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
WARM_UP = 2  # calls after the first one that are not timed
REST = 0.05  # seconds between two workers' turns, for the threads of the one before to go to sleep


def compare(
    model="mambaout_tiny",
    weights=None,
    backends=BACKENDS,
    batch_size=8,
    size=224,
    precision="float32",
    steps=20,
    images=None,
    output=None,
    learning_rate=1e-4,
    tolerance=None,
    verbose=True,
    perturb=None,
):
    """Runs one model on several backends with the same weights and images, and compares them.

    One subprocess a backend. Forward passes and train steps are timed in turn, A B C A B C, so that
    a busy machine slows all backends alike; the first call, which compiles, is reported on its own.

    Args:
        model: One of `list_models()`, a model of `keras.applications` such as `"ConvNeXtTiny"`, or
            the path of a `.keras` file, which brings its own weights and precision.
        weights: As for `create_model`. `None` draws them, the same for all backends.
        backends: Names among `"tensorflow"`, `"jax"`, `"torch"`. One that is not installed or
            fails becomes a row of the report that says so.
        batch_size: Images in the batch.
        size: Side of the images in pixels.
        precision: `"float32"` or `"mixed_bfloat16"`.
        steps: Timed forward passes, timed train steps and steps of `model.fit` compared.
        images: Folder of images, with a subfolder for each class or without; `None` draws noise.
        output: Folder for `compare.json`, `compare.md` and `compare.png`; `None` writes nothing.
        learning_rate: AdamW's.
        tolerance: `{"layers": ..., "gradients": ..., "losses": ...}`, differences relative to the
            largest value; those left out are `compare.differences.TOLERANCES[precision]`.
        verbose: Whether to show a progress bar.
        perturb: `{backend: layer name}`: makes that layer wrong there, to test that it is noticed.

    Returns:
        The report, what `compare.json` holds: `backends` (for each either `error`, or versions,
        device, times in seconds, images/s, peak memory in bytes, losses), `differences` (for each
        pair of backends: outputs, every layer, every gradient, losses), `disagreements` (sentences)
        and `agree`. Outputs are logits where the model can give them.

    Raises:
        ValueError: If an argument is outside of what is listed above, no image can be read, or no
            backend could run.
        ImportError: If `output` is given and matplotlib is not installed.

    Example:
    ```python
    report = keras_mambaout.compare("mambaout_femto", batch_size=4, steps=5, output="compare")
    report["backends"]["jax"]["forward"]["median_s"]
    ```
    """
    backends = list(dict.fromkeys(backends))
    _check_arguments(model, weights, backends, batch_size, size, precision, steps, tolerance)
    if output is not None:
        check_can_draw()
    tolerance = {**TOLERANCES[precision], **(tolerance or {})}
    report = {
        "model": model,
        "weights": None if weights is None else str(weights),
        "batch_size": batch_size,
        "size": size,
        "precision": precision,
        "steps": steps,
        "images": None if images is None else str(images),
        "learning_rate": learning_rate,
        "tolerance": tolerance,
        "backends": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        arguments = {
            "model": model,
            "batch": _write_batch(folder / "batch.npz", images, batch_size, size),
            "weights": _write_weights(folder / "model.weights.h5", model, weights, size),
            "precision": precision,
            "learning_rate": learning_rate,
            "perturb": perturb or {},
        }
        run = _Run(backends, folder, batch_size, steps, verbose)
        try:
            run.start(arguments)
            results = run.measure()
        finally:
            run.close()
    report["backends"] = run.rows
    if not results:
        raise ValueError("No backend could run. " + " ".join(row["error"] for row in run.rows.values()))
    report["differences"] = compare_backends(results)
    report["disagreements"] = disagreements(report["differences"], tolerance)
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
        raise ValueError(f"`tolerance` has {', '.join(TOLERANCES[precision])}, got {', '.join(unknown)}.")
    if model.endswith(".keras"):
        if not pathlib.Path(model).is_file():
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
            raise ValueError(f"There is no image ({', '.join(IMAGE_SUFFIXES)}) in {folder}.")
        classes = sorted({file.parent for file in files})
        step = max(1, len(files) // batch_size)  # from all classes
        files = [files[step * index % len(files)] for index in range(batch_size)]
        pixels = np.stack([resize_and_center_crop(load_image(file), size) for file in files])
        labels = np.array([classes.index(file.parent) for file in files])
    np.savez(path, images=pixels.astype("float32"), labels=labels.astype("int32"))
    return str(path)


def _write_weights(path, model, weights, size):
    """Writes the weights that all workers load; returns the path, or `None` for a `.keras` file."""
    if model.endswith(".keras"):
        return None
    shape = (size, size, 3)
    if weights is None:
        instance = models.build_model(model, shape)
    else:
        instance = create_model(model, weights=weights, input_shape=shape, classifier_activation=None)
    instance.save_weights(path)
    return str(path)


class _Run:
    """The workers of one comparison. A worker that fails leaves, and its row says why."""

    def __init__(self, backends, folder, batch_size, steps, verbose):
        self.rows = {backend: {} for backend in backends}
        self.workers = {}
        self.folder = folder
        self.batch_size = batch_size
        self.steps = steps
        self.progress = keras.utils.Progbar(len(backends) * (6 + 2 * (1 + WARM_UP + steps)), verbose=int(verbose))

    def start(self, arguments):
        for backend in self.rows:
            self.workers[backend] = Worker(backend, *keras_worker_command(backend))
        for backend, description in self._ask_all("describe").items():
            self.rows[backend].update(description)
        for backend, seconds in self._ask_all("build", **arguments).items():
            self.rows[backend]["build_s"] = seconds

    def measure(self):
        """Fills the rows; returns the arrays and losses of the backends that did not fail."""
        self._time("forward")
        self._time("train_step")
        for backend, peak in self._ask_all("peak_memory").items():
            self.rows[backend]["peak_memory_bytes"] = peak
        for kind in ("layers", "gradients"):
            self._ask_all(kind, folder=str(self.folder))
        for backend, losses in self._ask_all("fit", steps=self.steps).items():
            self.rows[backend]["losses"] = losses
        return {
            backend: {
                "layers": _load(self.folder / f"{backend}_layers.npz"),
                "gradients": _load(self.folder / f"{backend}_gradients.npz"),
                "losses": self.rows[backend]["losses"],
            }
            for backend in self.workers
        }

    def close(self):
        for worker in self.workers.values():
            worker.close()

    def _time(self, method):
        first = self._ask_all(method)
        times = {backend: [] for backend in self.workers}
        for _ in range(WARM_UP):
            self._ask_all(method)
        for _ in range(self.steps):
            for backend, seconds in self._ask_all(method).items():
                times[backend].append(seconds)
        for backend in self.workers:
            row = {"first_s": first[backend], **summary(times[backend])}
            self.rows[backend][method] = {**row, "images_per_s": self.batch_size / row["median_s"]}

    def _ask_all(self, method, **arguments):
        answers = {backend: self._ask(backend, method, **arguments) for backend in list(self.workers)}
        return {backend: answer for backend, answer in answers.items() if backend in self.workers}

    def _ask(self, backend, method, **arguments):
        try:
            answer = self.workers[backend].request(method, **arguments)
        except WorkerError as error:
            self.workers.pop(backend).close()
            self.rows[backend] = {"error": str(error)}
            answer = None
        self.progress.add(1)  # a failed worker's turns are counted no more: the bar then ends early
        time.sleep(REST)
        return answer


def summary(times):
    """Median, quartiles and all of the seconds."""
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else 3 * times
    return {"median_s": statistics.median(times), "quartiles_s": [quartiles[0], quartiles[2]], "times_s": times}


def _load(path):
    with np.load(path) as arrays:
        return dict(arrays)
