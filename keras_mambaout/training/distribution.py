"""Data-parallel training on several devices and hosts, on the frameworks' own engines."""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

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

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """A context for what only one process does with the model, such as saving it in the chief."""
        yield

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
        `prepare(model)` after `compile`, `feed(make_batches)` for the data, and `alone()` around what only the chief
        does.

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
