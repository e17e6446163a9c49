"""JAX on several devices: `keras.distribution.DataParallel`."""

import contextlib
import os
from collections.abc import Iterator

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from keras_mambaout.training.distribution import OUTSIDE, Devices, check_count, gather_pickled, predicting_in_parts

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
        devices = _JaxDevices(len(used), processes, jax.process_index())
        devices.local = [device for device in used if device.process_index == devices.process]
        yield devices


class _JaxDevices(Devices):
    """JAX itself compares the weights of all processes when variables are created or loaded."""

    _predicting = None

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

    @contextlib.contextmanager
    def predicting(self, model):
        """Runs `predict_step` on this process's devices, with the weights that they hold; Keras' is for all devices."""
        mesh = jax.sharding.Mesh(np.array(self.local), ("batch",))
        whole, split = (
            jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in ((), ("batch",))
        )
        if self._predicting is not model:
            self._predicting = model
            self._run = jax.jit(lambda state, inputs: model.predict_step(state, (inputs,))[0])

        def local(variable):
            parts = [shard.data for shard in variable.value.addressable_shards]
            return jax.make_array_from_single_device_arrays(tuple(variable.shape), whole, parts)

        def predict(inputs):
            variables = model.trainable_variables, model.non_trainable_variables
            state = tuple([local(variable) for variable in those] for those in variables)
            with self.alone():
                return self._run(state, jax.device_put(inputs, split))

        with predicting_in_parts(model, len(self.local), predict):
            yield

    def _gather(self, value):
        return gather_pickled(value, multihost_utils.process_allgather)


def _initialize():
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise ValueError(
            f"JAX could not connect the processes of {PROCESSES}: {error} Enter `distribute` before any model or array "
            "is created, and start all processes."
        ) from error
