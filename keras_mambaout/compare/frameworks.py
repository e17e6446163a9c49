"""What each framework must be asked for directly: device, memory, synchronisation, gradients."""

import importlib
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

BACKEND = keras.backend.backend()
framework = importlib.import_module(BACKEND)


def version() -> str:
    """Returns the version of the backend's framework."""
    return framework.__version__


def device() -> tuple[str, str]:
    """Returns the platform (`cpu`, `gpu`, `tpu`) and the name of the device that computes."""
    if BACKEND == "jax" and framework.devices()[0].platform != "cpu":
        first = framework.devices()[0]
        return first.platform, first.device_kind
    if BACKEND == "tensorflow" and (gpus := framework.config.list_physical_devices("GPU")):
        return "gpu", framework.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    if BACKEND == "torch" and framework.cuda.is_available():
        return "gpu", framework.cuda.get_device_name()
    return "cpu", f"CPU {platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def peak_memory() -> int | None:
    """Returns the peak memory in bytes: of the process on a CPU, of the device on a GPU or TPU; `None` if unknown."""
    if device()[0] != "cpu":
        if BACKEND == "jax":
            return framework.devices()[0].memory_stats()["peak_bytes_in_use"]
        if BACKEND == "tensorflow":
            return framework.config.experimental.get_memory_info("GPU:0")["peak"]
        return framework.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def synchronize(model: keras.Model) -> None:
    """Waits until the device has computed the model's weights."""
    if BACKEND == "jax":
        framework.block_until_ready([variable.value for variable in model.variables])
    elif BACKEND == "torch" and framework.cuda.is_available():
        framework.cuda.synchronize()


def value_and_gradients(
    model: keras.Layer, x: Any, scalar_of: Callable[[Any], Any]
) -> tuple[float, dict[str, np.ndarray | None]]:
    """Returns `scalar_of(model(x, training=True))` as a float and its gradients.

    Args:
        model: A built layer or model.
        x: A batch of inputs.
        scalar_of: Function of the model's outputs, in `keras.ops`; it may call the model's parts.

    Returns:
        `(value, {variable.path: NumPy array, or None where nothing depends on the variable})`.
    """
    compute = {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients, "torch": _torch_gradients}[BACKEND]
    value, grads = compute(model, x, scalar_of)
    to_numpy = keras.ops.convert_to_numpy
    paths = [variable.path for variable in model.trainable_variables]
    grads = [None if grad is None else to_numpy(grad) for grad in grads]
    return float(to_numpy(value)), dict(zip(paths, grads, strict=True))


def _tensorflow_gradients(model, x, scalar_of):
    with framework.GradientTape() as tape:
        value = scalar_of(model(x, training=True))
    return value, tape.gradient(value, [variable.value for variable in model.trainable_variables])


def _jax_gradients(model, x, scalar_of):
    def function(values):
        with keras.StatelessScope(state_mapping=list(zip(model.trainable_variables, values, strict=True))):
            return scalar_of(model(x, training=True))

    gradient_function = framework.jit(framework.value_and_grad(function))
    return gradient_function([variable.value for variable in model.trainable_variables])


def _torch_gradients(model, x, scalar_of):
    model.zero_grad()
    value = scalar_of(model(x, training=True))
    value.backward()
    return value.detach(), [variable.value.grad for variable in model.trainable_variables]
