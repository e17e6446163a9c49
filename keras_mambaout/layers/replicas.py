"""What models compute from a batch that several devices share, each with a part of it.

On JAX a step is one program for the whole batch, and there is nothing to do. On TensorFlow and PyTorch each device
runs the step on its part, and what has to be of the whole batch is averaged here.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

_processes: tuple[int, Callable[[Any], Any]] | None = None  # of PyTorch, in a step that they share


@contextlib.contextmanager
def shared_step(count: int, mean: Callable[[Any], Any]) -> Iterator[None]:
    """A context for a step that all processes of PyTorch run; outside, each process is by itself.

    Args:
        count: Number of processes.
        mean: Function that returns the mean of a tensor over them.
    """
    global _processes
    before, _processes = _processes, (count, mean)
    try:
        yield
    finally:
        _processes = before


def replica_count() -> int:
    """Returns how many devices run this step, each on its part of the batch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync if tf.distribute.get_replica_context() else 1
    return 1 if _processes is None else _processes[0]


def replica_mean(x: Any) -> Any:
    """Returns the mean of a tensor over the devices that share a batch; gradients flow through it to all of them.

    All devices must call it, in the same order. On one device, and on JAX, it returns `x`.

    Args:
        x: A float tensor, of the same shape on all devices.

    Example:
    ```python
    mean = replica_mean(keras.ops.mean(x))  # over the whole batch, of which all devices have equal parts
    ```
    """
    if replica_count() == 1:
        return x
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, x)
    return _processes[1](x)


def shared_count(flags: Any) -> Any:
    """Returns how many flags are true on all devices, divided by the number of devices; 1 if none is.

    A sum over this device's part of the batch, divided by it, is a loss whose mean over devices is that of the batch.

    Args:
        flags: Booleans of any shape.

    Returns:
        A float32 scalar.
    """
    count = replica_mean(ops.sum(ops.cast(flags, "float32")))
    return ops.where(count > 0, count, 1.0)


def replica_share(loss: Any) -> Any:
    """Returns what `compute_loss` of a model returns for its part of the batch.

    Keras adds up the gradients of all devices on TensorFlow, and its own losses are divided by their number. On the
    others it is the loss itself.
    """
    return loss / replica_count() if keras.backend.backend() == "tensorflow" else loss
