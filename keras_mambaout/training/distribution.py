"""Data-parallel training on several devices and hosts, on the frameworks' own engines."""

import contextlib
import dataclasses
import importlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

ENGINES = {
    "jax": "keras_mambaout.training.jax_data_parallel",
    "tensorflow": "keras_mambaout.training.tensorflow_strategy",
    "torch": "keras_mambaout.training.torch_data_parallel",
}
OUTSIDE = "The weights of this model are on one device: make the model inside `with distribute(...)`."


@dataclasses.dataclass
class Devices:
    """What a model is trained on: one device in one process, unless `distribute` yields something else.

    Args:
        replicas: Devices of all processes together; each holds the whole model and a part of the batch.
        processes: Processes that train together.
        process: Index of this one.
    """

    replicas: int = 1
    processes: int = 1
    process: int = 0

    @property
    def chief(self) -> bool:
        """Whether this process is the first, the one that writes files."""
        return self.process == 0

    def prepare(self, model: keras.Model) -> None:
        """Makes a model ready to be trained or evaluated here; call it last, after its weights were loaded.

        Args:
            model: A built and compiled model that was made under `distribute`.

        Raises:
            ValueError: If the engine cannot train this model as one device would.
        """

    def feed(self, make_batches: Callable[[tuple[int, int]], Any]) -> Any:
        """Returns the batches for `fit` and `evaluate`.

        Args:
            make_batches: Function of a shard, `(index, count)`, that returns a `tf.data.Dataset` with
                that part of each batch: `N / count` of its `N` images.

        Raises:
            ValueError: If the images of a batch cannot be split evenly among the devices.
        """
        return self._checked(make_batches((self.process, self.processes)))

    def metric_values(self, variables: list[keras.Variable]) -> list[np.ndarray]:
        """Returns what variables of metrics have counted in all processes together; all of them must call it."""
        return [variable.numpy() for variable in variables]

    def add_metric_values(self, variables: list[keras.Variable], values: list[np.ndarray]) -> None:
        """Adds to variables of metrics what all processes had counted together before; all of them must call it."""
        for variable, value in zip(variables, values, strict=True):
            variable.assign(variable.numpy() + value)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """A context for what only one process does with the model, such as saving it in the chief."""
        yield

    @contextlib.contextmanager
    def predicting(self, model: keras.Model) -> Iterator[None]:
        """A context in which `model.predict_on_batch` is this process's own.

        It takes batches of any size, divides them among the devices of this process, and does not wait for other
        processes, which may predict more batches or fewer.

        Args:
            model: A built model that was made under `distribute`.
        """
        yield

    def collect(self, measure: Callable[[], Any]) -> list[Any]:
        """Calls a function in each process, and returns what it returned in each of them, in order, to all.

        All processes must call this method. An error in one of them is raised in all.

        Args:
            measure: Function without arguments that returns what `pickle` can write.
        """
        if self.processes == 1:
            return [measure()]
        try:
            result = measure()
        except Exception as error:  # of any type: the others wait for a result
            result = _Failed(error)
        results = self._gather(result)
        for result in results:
            if isinstance(result, _Failed):
                raise result.error
        return results

    def _gather(self, value):
        """Returns this value of all processes, in order."""
        raise NotImplementedError

    def _checked(self, batches):
        here = self.replicas // self.processes
        for spec in keras.tree.flatten(getattr(batches, "element_spec", ())):
            size = spec.shape[0] if spec.shape.rank else None
            if size is not None and size % here:
                raise ValueError(
                    f"A batch of {size * self.processes} images cannot be split evenly among {self.replicas} devices: "
                    f"use a multiple of {self.replicas}, or fewer devices."
                )
        return batches


@dataclasses.dataclass
class _Failed:
    error: Exception


@contextlib.contextmanager
def distribute(devices: int | str = "auto") -> Iterator[Devices]:
    """A context in which models are made and trained on several devices and hosts, each with a part of the batch.

    The loss and the gradient are the means over the global batch: a model learns as it would on one device. Each
    backend has its own engine, and its own way to find the other processes:

    - JAX: `keras.distribution.DataParallel` over all devices of all processes. Processes are those of
      `keras.distribution.initialize`: start one on each host, with the environment variables
      `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `KERAS_DISTRIBUTION_NUM_PROCESSES` and `KERAS_DISTRIBUTION_PROCESS_ID`.
    - TensorFlow: `tf.distribute.MirroredStrategy`, or `MultiWorkerMirroredStrategy` with one process on each host and
      the environment variable `TF_CONFIG`. Keras cannot accumulate or clip gradients there, nor scale the loss
      (`mixed_float16`) or overwrite weights by their average while training (`ema_overwrite_frequency`):
      `Devices.prepare` raises a ValueError. Dropout and drop path draw the same mask on every device.
    - PyTorch: `DistributedDataParallel`, one process for each device, started by `torchrun`.

    With one device in one process nothing is set up.

    Args:
        devices: `"auto"` for all devices of this process, or how many of them, from the first.

    Yields:
        `Devices`, with `replicas`, `processes`, `process` and `chief`, and the methods that training calls:
        `prepare(model)` after `compile`, `feed(make_batches)` for the data, `alone()` around what only the chief
        does, and `predicting(model)` with `collect(measure)` for what each process measures on its part of the data.

    Raises:
        ValueError: If there are not that many devices, or the framework has to be started differently.

    Example:
    ```python
    with distribute("auto") as devices:
        model = MambaOutTiny(weights=None)
        model.compile("adamw", "sparse_categorical_crossentropy")
        devices.prepare(model)
        batches = devices.feed(lambda shard: data.batches(256, training=True, epochs=(0, 30), shard=shard))
        model.fit(batches, epochs=30, steps_per_epoch=data.steps_per_epoch(256))
        if devices.chief:
            with devices.alone():
                model.save("model.keras")
    ```
    """
    engine = importlib.import_module(ENGINES[keras.backend.backend()])
    with engine.data_parallel(_number(devices)) as distributed:
        yield distributed


@contextlib.contextmanager
def predicting_in_parts(model: keras.Model, count: int, predict: Callable[[Any], Any]) -> Iterator[None]:
    """A context in which `model.predict_on_batch` is `predict`, of a multiple of `count` rows.

    The last row is repeated where rows are missing.
    """

    def predict_on_batch(inputs):
        rows = len(keras.tree.flatten(inputs)[0])

        def fill_up(array):
            return np.concatenate([array, np.repeat(array[-1:], -rows % count, axis=0)])

        outputs = predict(keras.tree.map_structure(fill_up, inputs))
        return keras.tree.map_structure(lambda output: np.asarray(output)[:rows], outputs)

    model.predict_on_batch = predict_on_batch
    try:
        yield
    finally:
        del model.predict_on_batch


def gather_pickled(value: Any, gather: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
    """Returns the values of all processes, by a function that gathers arrays of one shape: `(N,)` -> `(processes, N)`.

    Arrays are int32, which all transports know.
    """
    data = pickle.dumps(value)
    sizes = gather(np.array([len(data)], "int32"))[:, 0]
    words = np.zeros(-(-int(sizes.max()) // 4), "int32")
    words.view("uint8")[: len(data)] = np.frombuffer(data, "uint8")
    return [pickle.loads(row.tobytes()[:size]) for row, size in zip(gather(words), sizes, strict=True)]


def check_count(count: int | None, available: int, here: str = "on this host") -> int:
    """Returns the number of devices to use: `count`, or all that are available for `None`."""
    if count is not None and count > available:
        raise ValueError(f"`devices` is {count}, but there are {available} {here}: use at most that many, or 'auto'.")
    return available if count is None else count


def _number(devices):
    """Returns a number of devices, or `None` for all."""
    number = int(devices) if isinstance(devices, str) and devices.isdecimal() else devices
    if number == "auto":
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"`devices` must be 'auto' or a number of devices, 1 or more, got {devices!r}.")
    return number
