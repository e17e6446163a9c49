"""Saves what this backend has trained, and loads what every backend has saved.

KERAS_BACKEND=jax python tests/helpers/cross_backend.py save|load FOLDER
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tiny_tasks

import keras_mambaout
from keras_mambaout.training import AdamW

TOLERANCE = {"classifier": 1e-5, "mask_rcnn": 1e-3, "upernet": 1e-4, "quantized": 1e-2}


def optimizers():
    """Returns an optimizer for each task: Keras' own, one inside of another, and ours."""
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3, momentum=0.9))
    return {"classifier": keras.optimizers.AdamW(1e-3), "mask_rcnn": scaled, "upernet": AdamW(1e-3)}


def save(folder):
    """Trains a model of each task for one step and saves it compiled; with predictions and the optimizer's state."""
    for task, optimizer in optimizers().items():
        model = tiny_tasks.compile(tiny_tasks.create(task), optimizer)
        model.fit(*tiny_tasks.batch(task), verbose=0)
        write(model, task, folder)
        if task == "classifier":
            keras_mambaout.save_for_hub(model, folder / f"shared_{keras.backend.backend()}")
    model = tiny_tasks.create("classifier")
    model.quantize("int8")
    write(model, "quantized", folder)


def write(model, name, folder):
    path = folder / f"{name}_{keras.backend.backend()}.keras"
    model.save(path)
    np.savez(path.with_suffix(".npz"), *outputs(model, name), *state(model))


def load(folder):
    """Loads every file of the folder and compares predictions and optimizers; trains one classifier on."""
    for path in sorted(folder.glob("*.keras")):
        name = path.stem.rpartition("_")[0]
        model = keras.models.load_model(path)
        with np.load(path.with_suffix(".npz")) as file:
            expected = [file[key] for key in file]
        found = outputs(model, name)
        assert model.compiled == (name != "quantized") and len(expected) == len(found) + len(state(model)), path.name
        for value, other in zip(found, expected, strict=False):
            np.testing.assert_allclose(value, other, atol=TOLERANCE[name], err_msg=path.name)
        for value, other in zip(state(model), expected[len(found) :], strict=True):
            np.testing.assert_array_equal(value, other, err_msg=path.name)
        assert type(keras_mambaout.load_model(path)) is type(model)
        if name == "classifier":
            model.fit(*tiny_tasks.batch(name), verbose=0)
            assert int(model.optimizer.iterations) == 2, path.name
        print("loaded", path.name)

    for path in sorted(folder.glob("shared_*")):  # as `push_to_hub` uploads it
        with np.load(folder / f"{path.name.replace('shared', 'classifier')}.npz") as file:
            expected = file["arr_0"]
        found = outputs(keras_mambaout.load_model(path), "classifier")
        np.testing.assert_allclose(found[0], expected, atol=TOLERANCE["classifier"], err_msg=path.name)
        print("loaded", path.name)


def outputs(model, name):
    images, _ = tiny_tasks.batch("classifier" if name == "quantized" else name)
    return keras.tree.flatten(model.predict(images, verbose=0))


def state(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables] if model.compiled else []


if __name__ == "__main__":
    {"save": save, "load": load}[sys.argv[1]](pathlib.Path(sys.argv[2]))
