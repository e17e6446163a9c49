"""TensorFlow on several devices: `tf.distribute`."""

import contextlib
import zlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_mambaout.models.label_checks import LabelChecker
from keras_mambaout.training.distribution import OUTSIDE, Devices, check_count, gather_pickled, predicting_in_parts

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
    _predicting, _label_rule = None, None

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
        self._label_rule = getattr(model, "label_rule", None)
        if self.processes > 1:
            self._check_weights(model)

    def feed(self, make_batches):
        """Keras' `fit` splits the batches of one process itself, but not those of several.

        Labels are checked here: nothing can be seen of batches that are distributed.
        """
        if self.processes == 1:
            return super().feed(make_batches)
        checker = None if self._label_rule is None else LabelChecker(self._label_rule)

        def for_devices(context):
            shard = context.input_pipeline_id, context.num_input_pipelines
            batches = self._checked(make_batches(shard))
            if checker is not None:
                batches, _ = checker.watch(batches)
            return split_batches(batches, self.replicas // self.processes)

        distributed = self._strategy.distribute_datasets_from_function(for_devices)
        if checker is not None:
            distributed.label_checker = checker
        return distributed

    @contextlib.contextmanager
    def alone(self):
        """Outside the scope: Keras creates variables when it saves, and TensorFlow would wait for all processes."""
        self.leave()
        try:
            yield
        finally:
            self.enter(self._strategy)

    @contextlib.contextmanager
    def predicting(self, model):
        """Runs `predict_step` on the devices of this process; Keras' function gathers from all processes."""
        strategy, here = self._strategy, self.replicas // self.processes
        if self._predicting is not model:
            self._predicting = model
            self._run = tf.function(lambda parts: strategy.run(model.predict_step, (parts,)), reduce_retracing=True)

        def predict(inputs):
            def part(context):
                index = context.replica_id_in_sync_group % here
                return keras.tree.map_structure(lambda array: tf.constant(np.split(array, here)[index]), inputs)

            outputs = self._run(strategy.experimental_distribute_values_from_function(part))
            return keras.tree.map_structure(
                lambda *parts: np.concatenate(parts), *strategy.experimental_local_results(outputs)
            )

        with predicting_in_parts(model, here, predict):
            yield

    def _gather(self, value):
        def gather(array):
            here = self.replicas // self.processes  # each of them has the same
            rows = self._strategy.experimental_distribute_values_from_function(lambda _: tf.constant(array[None]))
            return self._strategy.gather(rows, axis=0).numpy()[::here]

        return gather_pickled(value, gather)

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
        """Takes whole batches, and scalars with `axis=0`, as Keras passes them.

        TensorFlow's own fails on scalars, and on types that cannot be sent.

        See https://github.com/keras-team/keras/issues/20585.
        """
        reduce = super().reduce

        def reduce_one(part):
            first = self.experimental_local_results(part)[0]
            if not first.dtype.is_floating and first.dtype not in (tf.int32, tf.int64):
                return first  # such as masks, of which Keras only wants to know the shape
            return reduce(reduce_op, part, axis if first.shape.rank else None)

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
