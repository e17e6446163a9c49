"""The workers of one comparison, timed in turn."""

import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.compare.process import Worker, WorkerError, keras_worker_command

WARM_UP = 2  # calls after the first one that are not timed
REST = 0.05  # seconds between the turns of two workers, in which the threads of the first fall asleep


class Run:
    """The workers of one comparison. A worker that fails is closed, and its row holds the error.

    Args:
        backends: Names of the backends.
        folder: Folder for the arrays that the workers write.
        batch_size: Images in the batch, for the images per second.
        steps: Timed calls, and steps of `model.fit`.
        verbose: Whether to show a progress bar.
    """

    def __init__(self, backends: Sequence[str], folder: pathlib.Path, batch_size: int, steps: int, verbose: bool):
        self.rows: dict[str, dict[str, Any]] = {backend: {} for backend in backends}
        self.workers: dict[str, Worker] = {}
        self.folder = folder
        self.batch_size = batch_size
        self.steps = steps
        self.progress = keras.utils.Progbar(len(backends) * (6 + 2 * (1 + WARM_UP + steps)), verbose=int(verbose))

    def start(self, arguments: Mapping[str, Any]) -> None:
        """Starts the workers and has each build the model; `arguments` are those of `KerasWorker.build`."""
        for backend in self.rows:
            self.workers[backend] = Worker(backend, *keras_worker_command(backend))
        for backend, description in self._ask_all("describe").items():
            self.rows[backend].update(description)
        for backend, seconds in self._ask_all("build", **arguments).items():
            self.rows[backend]["build_s"] = seconds

    def measure(self) -> dict[str, dict[str, Any]]:
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

    def close(self) -> None:
        """Ends all workers."""
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
        self.progress.add(1)  # the turns of a failed worker are left out: the bar then ends early
        time.sleep(REST)
        return answer


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Returns the median, the quartiles and all of the times, in seconds."""
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else 3 * times
    return {"median_s": statistics.median(times), "quartiles_s": [quartiles[0], quartiles[2]], "times_s": times}


def _load(path):
    with np.load(path) as arrays:
        return dict(arrays)
