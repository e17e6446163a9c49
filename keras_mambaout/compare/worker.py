"""The process of one backend in a comparison: `python -m keras_mambaout.compare.worker`.

`KERAS_BACKEND` says which backend. Arrays go through `.npz` files, everything else through the pipe.
"""

import os
import platform
import sys
import time
from typing import Any

import keras
import numpy as np

import keras_mambaout
from keras_mambaout.compare import frameworks, models
from keras_mambaout.compare.layer_outputs import layer_outputs
from keras_mambaout.compare.process import KEEP_MEMORY
from keras_mambaout.compare.protocol import serve
from keras_mambaout.compare.tasks import task_of
from keras_mambaout.layers import kernels
from keras_mambaout.memory import keep_memory
from keras_mambaout.training import AdamW


class KerasWorker:
    """One model on one backend, with its batch. The public methods are the requests that it answers."""

    def describe(self) -> dict[str, Any]:
        """Returns the versions, the device and the formulation of the depthwise convolution."""
        device_platform, device = frameworks.device()
        return {
            "versions": {
                "keras_mambaout": keras_mambaout.__version__,
                "keras": keras.__version__,
                frameworks.BACKEND: frameworks.version(),
                "python": platform.python_version(),
            },
            "device": device,
            "depthwise_conv": kernels.choose_depthwise_conv(frameworks.BACKEND, device_platform),
        }

    def build(
        self,
        model: str,
        batch: str | os.PathLike,
        weights: str | os.PathLike | None = None,
        precision: str = "float32",
        learning_rate: float = 1e-4,
        token_mixer: str = "conv",
    ) -> float:
        """Builds the model and loads weights and batch; returns how many seconds building took.

        Args:
            model, token_mixer: As `compare.models.build_model` takes them.
            batch: `.npz` file with `images`, and `labels`, the classes for a classifier; other tasks draw theirs.
            weights: `.weights.h5` file, `None` to keep the model's own.
            precision: Dtype policy.
            learning_rate: Learning rate of AdamW.
        """
        keras.config.set_dtype_policy(precision)
        with np.load(batch) as arrays:
            self.images, classes = arrays["images"], arrays["labels"]
        start = time.perf_counter()
        self.model = models.build_model(model, self.images.shape[1], token_mixer=token_mixer)
        seconds = time.perf_counter() - start
        if weights is not None:
            self.model.load_weights(weights)
        self.task = task_of(self.model)
        self.labels = self.task.labels(self.images, classes)
        self.model.compile(optimizer=AdamW(learning_rate), **self.task.losses(self.images))
        self.model.optimizer.build(self.model.trainable_variables)
        self.remember()
        return seconds

    def remember(self) -> None:
        """Remembers the state of the model and its optimizer, which `layers`, `gradients` and `fit` begin with."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self.start_values = [(variable, variable.numpy()) for variable in variables]

    def layers(self, folder: str) -> None:
        """Writes the output of every layer to `BACKEND_layers.npz`, named as by `layer_outputs`."""
        self._restore()
        np.savez(f"{folder}/{frameworks.BACKEND}_layers.npz", **layer_outputs(self.task, self.images))

    def gradients(self, folder: str) -> None:
        """Writes the gradient of the model's loss for every trainable weight to `BACKEND_gradients.npz`."""
        self._restore()
        x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (self.images, self.labels))
        _, grads = frameworks.value_and_gradients(
            self.model, x, lambda outputs: self.model.compute_loss(x, y, outputs, training=True)
        )
        numbered = enumerate(((path, grad) for path, grad in grads.items() if grad is not None), start=1)
        arrays = {f"{number:04d} {path}": grad for number, (path, grad) in numbered}
        np.savez(f"{folder}/{frameworks.BACKEND}_gradients.npz", **arrays)

    def fit(self, steps: int) -> list[float]:
        """Trains on the batch with `model.fit`, one step per epoch; returns the loss of each step."""
        self._restore()
        history = self.model.fit(
            self.images, self.labels, batch_size=len(self.images), epochs=steps, shuffle=False, verbose=0
        )
        return [float(loss) for loss in history.history["loss"]]

    def forward(self) -> float:
        """Returns the seconds of one `predict_on_batch`, until its outputs are NumPy arrays."""
        start = time.perf_counter()
        self.model.predict_on_batch(self.images)
        return time.perf_counter() - start

    def train_step(self) -> float:
        """Returns the seconds of one `train_on_batch`, until the new weights are computed."""
        start = time.perf_counter()
        self.model.train_on_batch(self.images, self.labels)
        frameworks.synchronize(self.model)
        return time.perf_counter() - start

    def peak_memory(self) -> int | None:
        """Returns `frameworks.peak_memory()`."""
        return frameworks.peak_memory()

    def _restore(self):
        for variable, value in self.start_values:
            variable.assign(value)


def serve_worker(worker: KerasWorker) -> None:
    """Answers requests for the public methods of a worker."""
    if KEEP_MEMORY in sys.argv:
        keep_memory()
    serve({name: getattr(worker, name) for name in vars(KerasWorker) if not name.startswith("_")})


if __name__ == "__main__":
    serve_worker(KerasWorker())
