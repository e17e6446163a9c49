"""Trains a small model on several devices, to be compared with one device.

    KERAS_BACKEND=jax python tests/helpers/distribution_worker.py DEVICES FOLDER

`DEVICES` are virtual CPUs of JAX or TensorFlow; other processes are in the environment, where `distribute` looks for
them. Each process writes what came out to FOLDER, as JSON.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from keras_mambaout import layers
from keras_mambaout.models.mixins import ModelMixin
from keras_mambaout.training.distribution import distribute

BACKEND = keras.backend.backend()
BATCH, STEPS, CLASSES, SIZE = 8, 6, 5, 16
WEIGHTS = "model.weights.h5"
UNABLE = (
    {"gradient_accumulation_steps": 2},
    {"global_clipnorm": 1.0},
    {"clipnorm": 1.0},
    {"clipvalue": 1.0},
    {"use_ema": True, "ema_overwrite_frequency": 2},
)


def make_devices(count):
    """Makes JAX or TensorFlow have so many CPUs, and TensorFlow take less time for graphs."""
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", count)
    elif BACKEND == "tensorflow":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        if count > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def main(count, folder):
    make_devices(count)
    outside = create() if count > 1 else None
    with distribute("auto") as devices:
        # PyTorch and TensorFlow give all processes the weights of the first one
        result = train(devices, folder, seed=devices.process if BACKEND != "jax" else 0)
        result["refused"] = refused(devices, outside)
    (folder / f"{devices.process}.json").write_text(json.dumps(result))


def train(devices, folder, seed=0):
    """Trains and evaluates; the chief saves. Returns a dict of what there is to compare."""
    keras.utils.set_random_seed(seed)
    model = create()
    model.get_layer("stem").trainable = False
    compile_model(model)
    states = random_states(model)
    devices.prepare(model)
    shards = []
    batches = devices.feed(lambda shard: shards.append(shard) or rows(shard).repeat())
    losses = Losses()
    history = model.fit(batches, steps_per_epoch=STEPS, verbose=0, callbacks=[losses], shuffle=False).history
    counted = restored_metrics(devices, model)
    if devices.chief:
        with devices.alone():
            model.save_weights(folder / WEIGHTS)
            model.save(folder / "model.keras")
    evaluated = model.evaluate(devices.feed(weighted_rows), steps=3, verbose=0, return_dict=True)
    return {
        "devices": [devices.replicas, devices.processes, devices.process],
        "shards": shards,
        "losses": losses.values,
        "history": {name: values[0] for name, values in history.items()},
        "counted": counted,
        "evaluated": evaluated,
        "weights": sums(model),
        "random_states": [states, random_states(model)],
    }


def restored_metrics(devices, model):
    """Returns what the metrics have counted, before and after they go on from it, as by a backup, and the logs."""
    before = devices.metric_values(model.metrics_variables)
    model.reset_metrics()
    devices.add_metric_values(model.metrics_variables, before)
    after = devices.metric_values(model.metrics_variables)
    return [float(value) for value in (*before, *after, *model.get_metrics_result().values())]


class Model(ModelMixin, keras.Model):
    """As the classifier is one."""


def create():
    """Returns a model of the parts of MambaOut that have kernels of their own, few of each: variables cost time."""
    images = keras.Input((SIZE, SIZE, 3))
    x = layers.Stem(16, name="stem")(layers.ImageNormalization()(images))
    x = layers.GatedCNNBlock(kernel_size=3, name="block")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return Model(images, keras.layers.Dense(CLASSES, activation="softmax")(x))


def compile_model(model):
    """Compiles with all that an optimizer can do on several devices."""
    settings = {"use_ema": True}
    if BACKEND != "tensorflow":
        settings |= {"gradient_accumulation_steps": 2, "global_clipnorm": 1.0}
    schedule = keras.optimizers.schedules.CosineDecay(2e-2, 20.0)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05, **settings)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])


def rows(shard):
    """Returns the batches of one shard: images whose brightness depends on their class."""
    index, count = shard
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, BATCH * STEPS)
    images = rng.uniform(0, 150, (len(labels), SIZE, SIZE, 3)) + labels[:, None, None, None] * 20
    batches = tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels)).batch(BATCH, drop_remainder=True)
    return batches.map(
        lambda *batch: tuple(part[index * BATCH // count : (index + 1) * BATCH // count] for part in batch)
    )


def weighted_rows(shard):
    """Returns the same with weights, some of them 0."""
    return rows(shard).map(lambda images, labels: (images, labels, tf.cast(labels, "float32")))


def refused(devices, outside):
    """Returns the errors of `prepare` with what cannot be trained on several devices."""
    errors = []

    def prepare(model, **settings):
        model.compile(keras.optimizers.SGD(**settings))
        try:
            devices.prepare(model)
        except ValueError as error:
            errors.append(str(error))

    if outside is not None:
        prepare(outside)
    if BACKEND == "tensorflow":
        model = create()
        for settings in UNABLE:
            prepare(model, **settings)
        if devices.processes > 1:
            model.weights[0].assign(model.weights[0] + devices.process)
            prepare(model)
    return errors


class Losses(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


def sums(model):
    return [float(np.abs(variable.numpy()).sum()) for variable in model.weights]


def random_states(model):
    return [v.numpy().tolist() for v in model.non_trainable_variables if v.name == "seed_generator_state"]


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
