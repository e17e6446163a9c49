"""TensorFlow on several devices: `tf.distribute`."""

import contextlib
import zlib
from collections.abc import Iterator

import tensorflow as tf

from keras_mambaout.training.distribution import OUTSIDE, Devices, check_count

JOBS = ("chief", "worker")  # of TF_CONFIG, in the order of their indices
UNABLE = {  # where Keras' optimizers fail on several devices, or compute other numbers than on one
    "gradient_accumulation_steps": "accumulate gradients (`gradient_accumulation_steps`)",
    "clipnorm": "clip gradients (`clipnorm`) but separately on each device",
    "global_clipnorm": "clip gradients (`global_clipnorm`) but separately on each device",
    "clipvalue": "clip gradients (`clipvalue`) but separately on each device",
    "ema_overwrite_frequency": "overwrite weights by their average (`ema_overwrite_frequency`)",
    "inner_optimizer": "scale the loss (`mixed_float16`), because it looks for overflows on one device only",
}


@contextlib.contextmanager
def data_parallel(count: int | None) -> Iterator[Devices]:
    """Yields `Devices` over the first `count` devices of each process, or over all for `None`."""
    processes, process = _place()
    if processes > 1:
        strategy = _connect(count)
    else:
        available = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        count = check_count(count, len(available))
        if count == 1:
            yield Devices()
            return
        strategy = tf.distribute.MirroredStrategy([device.name for device in available[:count]])
    devices = _TensorFlowDevices(strategy.num_replicas_in_sync, processes, process)
    devices.enter(strategy)
    try:
        yield devices
    finally:
        devices.leave()


class _TensorFlowDevices(Devices):
    def enter(self, strategy):
        self._strategy, self._scope = strategy, strategy.scope()
        self._scope.__enter__()

    def leave(self):
        self._scope.__exit__(None, None, None)

    def prepare(self, model):
        if not isinstance(model.weights[0].value, tf.distribute.DistributedValues):
            raise ValueError(OUTSIDE)
        for name, reason in UNABLE.items():
            if getattr(model.optimizer, name, None) and (name != "ema_overwrite_frequency" or model.optimizer.use_ema):
                raise ValueError(
                    f"With TensorFlow on several devices Keras cannot {reason}: do without it, use one device, or the "
                    "backend jax or torch."
                )
        if self.processes > 1:
            self._check_weights(model)

    def feed(self, make_batches):
        """Keras' `fit` splits the batches of one process itself, but not those of several."""
        if self.processes == 1:
            return super().feed(make_batches)

        def for_devices(context):
            shard = context.input_pipeline_id, context.num_input_pipelines
            return split_batches(self._checked(make_batches(shard)), self.replicas // self.processes)

        return self._strategy.distribute_datasets_from_function(for_devices)

    @contextlib.contextmanager
    def alone(self):
        """Outside the scope: Keras creates variables when it saves, and TensorFlow would wait for all processes."""
        self.leave()
        try:
            yield
        finally:
            self.enter(self._strategy)

    def _check_weights(self, model):
        """Compares checksums: all start with the weights of the first process, but each may have loaded others."""
        checksum = 0
        for variable in model.weights:
            checksum = zlib.crc32(variable.numpy().tobytes(), checksum)
        checksums = self._strategy.gather(tf.constant([checksum], "int64"), axis=0)
        if len(set(checksums.numpy())) > 1:
            raise ValueError("The processes have different weights: load the same file in all of them.")


class _MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    def reduce(self, reduce_op, value, axis):
        """Takes whole batches and scalars with `axis=0`, as Keras passes them; TensorFlow's own fails on scalars.

        See https://github.com/keras-team/keras/issues/20585.
        """
        reduce = super().reduce

        def reduce_one(part):
            scalar = self.experimental_local_results(part)[0].shape.rank == 0
            return reduce(reduce_op, part, None if scalar else axis)

        return tf.nest.map_structure(reduce_one, value)


def split_batches(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Returns a data set with each batch split into `count` of equal size, one after the other."""

    def split(*batch):
        return tf.nest.map_structure(lambda rows: tf.stack(tf.split(rows, count)), batch)

    return batches if count == 1 else batches.map(split).unbatch()


def _place():
    """Returns the number of processes in TF_CONFIG and the index of this one."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    jobs = cluster.cluster_spec().as_dict()
    chiefs, workers = (len(jobs.get(job, ())) for job in JOBS)
    if chiefs + workers < 2:
        return 1, 0
    return chiefs + workers, cluster.task_id + (chiefs if cluster.task_type == "worker" else 0)


def _connect(count):
    gpus = tf.config.list_physical_devices("GPU")
    count = check_count(count, max(len(gpus), 1))
    try:
        tf.config.set_visible_devices(gpus[:count], "GPU")
        return _MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            f"TensorFlow could not connect the processes of TF_CONFIG: {error} Enter `distribute` before any model or "
            "tensor is created."
        ) from error
