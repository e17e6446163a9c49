"""One run of the study: a network, a task, a seed; a pure function from a dict of settings to a dict of results."""

import time

import keras
import networks
import numpy as np
import tasks

from keras_mambaout.models.macs import count_macs

LAST_STEPS = 20  # whose mean loss is reported
TEST_BATCH = 50


def train(run):
    """Trains a network as `run` says and returns what came out.

    `run` has `task`, `mixer`, `seed`, `shape` and `options` of the network, `steps`, `batch`, `rate`, and what the task
    reads. The seed decides the first weights and the training batches; the test images are always the same.
    """
    start = time.perf_counter()
    task = tasks.create(run["task"], run)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in run["options"].items()}
    model = networks.create(
        run["shape"], run["mixer"], run["seed"], input_shape=task.input_shape, classes=task.classes, **options
    )
    steps = run["steps"]
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps, warmup_target=run["rate"], warmup_steps=steps // 10
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.05, global_clipnorm=1.0)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    random = np.random.default_rng(run["seed"])
    losses = [float(model.train_on_batch(*task.batch(run["batch"], random))) for _ in range(steps)]

    predicted = model.predict(task.test_images, batch_size=TEST_BATCH, verbose=0).argmax(-1)
    right = predicted == task.test_labels
    result = {
        "accuracy": round(float(right.mean()), 4),
        "loss": round(float(np.mean(losses[-LAST_STEPS:])), 4),
        "parameters": networks.used_parameters(model),
        "macs": count_macs(model, (1, *task.input_shape)),
        "backend": keras.backend.backend(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if task.test_distances is not None:
        result["by_distance"] = by_distance(right, task.test_distances, run["longest"])
    return result


def by_distance(right, distances, longest):
    """Returns the accuracy at each distance from 0 to `longest - 1`; `None` where no pixel has it."""
    pixels = np.bincount(distances.ravel(), minlength=longest)
    hits = np.bincount(distances.ravel(), weights=right.ravel(), minlength=longest)
    return [round(float(hit / count), 4) if count else None for hit, count in zip(hits, pixels, strict=True)]
