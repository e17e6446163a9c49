"""JAX on several devices: `keras.distribution.DataParallel`."""

import contextlib
import os
from collections.abc import Iterator

import jax
import keras

from keras_mambaout.training.distribution import OUTSIDE, Devices, check_count

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


@contextlib.contextmanager
def data_parallel(count: int | None) -> Iterator[Devices]:
    """Yields `Devices` over the first `count` devices of each process, or over all for `None`."""
    if (PROCESSES in os.environ or ADDRESSES in os.environ) and not jax.distributed.is_initialized():
        _initialize()
    count = check_count(count, jax.local_device_count(), "in this process")
    processes = jax.process_count()
    used = [device for process in range(processes) for device in jax.local_devices(process_index=process)[:count]]
    if len(used) == 1:
        yield Devices()
        return
    distribution = keras.distribution.DataParallel(
        devices=[f"{device.platform}:{device.id}" for device in used],  # as `keras.distribution.list_devices` does
        auto_shard_dataset=False,
    )
    with distribution.scope():
        yield _JaxDevices(len(used), processes, jax.process_index())


class _JaxDevices(Devices):
    """JAX itself compares the weights of all processes when variables are created or loaded."""

    def prepare(self, model):
        if len(model.weights[0].value.sharding.device_set) != self.replicas:
            raise ValueError(OUTSIDE)

    @contextlib.contextmanager
    def alone(self):
        """Without the distribution: Keras creates variables when it saves, and JAX would wait for all processes."""
        distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(distribution)


def _initialize():
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise ValueError(
            f"JAX could not connect the processes of {PROCESSES}: {error} Enter `distribute` before any model or array "
            "is created, and start all processes."
        ) from error
