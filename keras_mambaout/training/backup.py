"""What a killed training needs to go on, kept so that it survives a kill, and a full disk, at any moment."""

import math
import os
import re

import keras
import numpy as np

from keras_mambaout.training.checkpoints import CheckpointError, write_checkpoint
from keras_mambaout.training.distribution import Devices

BACKUP = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.npz")
GENERATOR = "generator "  # begins the names of PyTorch's random states in a backup
METRIC = "metric "  # and those of the epoch's metrics


class Backup(keras.callbacks.Callback):
    """Keeps what a killed training needs to go on, after each epoch and, if asked for, after every so many steps.

    That is weights, optimizer, random state and, inside an epoch, what its metrics have counted so far.

    `keras.callbacks.BackupAndRestore` overwrites its last backup, and writes the number of the epoch into a second
    file: killed between the two, a run repeats an epoch on the new weights. Of an epoch that it goes on with it has no
    metrics, and reads the images again. Here the numbers of the epoch and the step are in the name of the file, which
    gets its name when it is complete. It is a NumPy file, because the HDF5 library ends the process when a disk is
    full.

    Args:
        folder: Where the backup is kept, a different folder for each run.
        devices: As for `BestAndLast`.
        every: Steps from one backup to the next inside an epoch; `None` for none there.

    Example:
    ```python
    backup = Backup("output/backup", every=500)
    epoch, step = backup.restore(model)
    batches = data.batches(32, training=True, epochs=(epoch, 300), first_step=step)
    callbacks = [RestOfEpoch(step), backup]
    model.fit(batches, steps_per_epoch=steps, epochs=300, initial_epoch=epoch, callbacks=callbacks)
    ```
    """

    def __init__(self, folder: str, devices: Devices | None = None, every: int | None = None) -> None:
        super().__init__()
        self.folder, self.devices, self.every = folder, devices or Devices(), every
        self.generators, self.metrics = {}, {}  # to be restored before and after the first step of `fit`
        self.epoch, self.begun = 0, 0

    def place(self) -> tuple[int, int]:
        """Returns how many epochs the backup was trained for, and how many steps of the next one; 0, 0 for none."""
        return max(self._places(), default=(0, 0))

    def restore(self, model: keras.Model) -> tuple[int, int]:
        """Restores a compiled model from the backup, if there is one, and returns its `place`."""
        place = self.place()
        self.begun = place[1]
        if place != (0, 0):
            model.optimizer.build(model.trainable_variables)
            values = self._read(place)
            self.generators, self.metrics = (_taken(values, kind) for kind in (GENERATOR, METRIC))
            for variable, value in self._pairs(place, _state(model), values):
                variable.assign(value)
        return place

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.generators:  # not before: what reads the data draws from them when `fit` begins
            _set_generators(self.generators)
            self.generators = {}

    def on_train_batch_end(self, batch, logs=None):
        if self.metrics:  # not before: on TensorFlow the first step makes their variables
            variables = {METRIC + str(number): v for number, v in enumerate(self.model.metrics_variables)}
            pairs = self._pairs((self.epoch, self.begun), variables, self.metrics)
            self.devices.add_metric_values([variable for variable, _ in pairs], [value for _, value in pairs])
            self.metrics = {}
        step = self.begun + batch + 1
        if self.every and step % self.every == 0 and step != self.params["steps"]:
            metrics = self.devices.metric_values(self.model.metrics_variables)
            self._write((self.epoch, step), logs, {METRIC + str(number): value for number, value in enumerate(metrics)})

    def on_epoch_end(self, epoch, logs=None):
        self.begun = 0
        self._write((epoch + 1, 0), logs, {})

    def _write(self, place, logs, metrics):
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise CheckpointError(
                f"The loss of {described(place)} is {loss}: the backup of {described(self.place())} is kept. Train "
                "with a smaller learning rate, with clip_norm, or in another precision."
            )
        values = {name: variable.numpy() for name, variable in _state(self.model).items()}  # in all processes
        if not self.devices.chief:
            return
        values |= {**metrics, **_generators()}
        write_checkpoint(self._path(place), lambda part: np.savez(part, **values))
        for other in self._places():
            if other < place:
                os.remove(self._path(other))

    def _read(self, place):
        path = self._path(place)
        try:
            with np.load(path) as file:
                return {name: file[name] for name in file.files}
        except Exception as error:  # of any type: a bit in a header says that the file is encrypted
            raise CheckpointError(
                f"The backup {path!r} is damaged: {error}. Put a copy of the file in its place, or begin again in "
                "another folder."
            ) from error

    def _pairs(self, place, variables, values):
        """Returns pairs of a variable and its value, if all of them fit."""
        wrong = set(values) ^ set(variables)
        wrong |= {name for name in set(values) & set(variables) if values[name].shape != tuple(variables[name].shape)}
        if wrong:
            raise CheckpointError(
                f"The backup {self._path(place)!r} is of a different model or optimizer: {len(wrong)} of its values "
                f"have no variable of their shape, or variables no value, such as {sorted(wrong)[0]!r}."
            )
        return [(variable, values[name]) for name, variable in variables.items()]

    def _path(self, place):
        epoch, step = place
        return os.path.join(self.folder, f"epoch-{epoch:04d}{f'-step-{step:06d}' if step else ''}.npz")

    def _places(self):
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [(int(match[1]), int(match[2] or 0)) for match in map(BACKUP.fullmatch, names) if match]


class RestOfEpoch(keras.callbacks.Callback):
    """Ends the first epoch of a `fit` that goes on inside of it, after the steps that it still has.

    It stands before callbacks that stop a training, such as `keras.callbacks.EarlyStopping`.

    Args:
        begun: Steps of the epoch that were done before.
    """

    def __init__(self, begun: int) -> None:
        super().__init__()
        self.begun, self.stops = begun, False

    def on_train_batch_end(self, batch, logs=None):
        if self.begun and batch + 1 == self.params["steps"] - self.begun:
            self.stops = not self._model.stop_training
            self._model.stop_training = True  # Keras ends the epoch at once, and the training after `on_epoch_end`

    def on_epoch_end(self, epoch, logs=None):
        self.begun = 0
        if self.stops:
            self.stops = self._model.stop_training = False


def described(place: tuple[int, int]) -> str:
    """Returns what a place is called in messages: "epoch 3", or "epoch 3, step 500"."""
    epoch, step = place
    return f"epoch {epoch + 1}, step {step}" if step else f"epoch {epoch}"


def _taken(values, kind):
    """Returns the values whose names begin with `kind`, and removes them."""
    return {name: values.pop(name) for name in list(values) if name.startswith(kind)}


def _state(model):
    """Returns all variables that a training changes."""
    variables = {
        "weight": model.trainable_variables,
        "state": model.non_trainable_variables,  # of random numbers
        "optimizer": model.optimizer.variables,
    }
    return {f"{kind} {n}": variable for kind, those in variables.items() for n, variable in enumerate(those)}


def _generators():
    """Returns the state of PyTorch's own generators, which `keras.layers.Dropout` draws from there."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return {GENERATOR + device: state.numpy() for device, state in states.items()}


def _set_generators(states):
    """Sets PyTorch's generators to what `_generators` returned, those of devices that are here."""
    here = _generators().keys() & states.keys()
    if here:
        import torch
    for name in here:
        device, state = name.removeprefix(GENERATOR), torch.from_numpy(states[name])
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
