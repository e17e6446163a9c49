"""Checkpoints that survive a kill, and a full disk, at any moment."""

import contextlib
import math
import os
import re
import shutil
from collections.abc import Iterator

import keras
import numpy as np

from keras_mambaout.files import write_whole
from keras_mambaout.training.distribution import Devices

BACKUP = re.compile(r"epoch-(\d+)\.npz")
GENERATOR = "generator "  # begins the names of PyTorch's random states in a backup


class CheckpointError(ValueError):
    """A checkpoint could not be written or read; the one before is whole."""


class BestAndLast(keras.callbacks.Callback):
    """Saves the model after each epoch as `last.keras`, and as `best.keras` if it is the best so far.

    Like two `keras.callbacks.ModelCheckpoint`, but a file is replaced only when the new one is complete.

    Args:
        folder: Where the files are written.
        monitor: The log whose highest value is the best; in epochs without it only `last.keras` is written.
        best: Value of a `best.keras` that is there already.
        ema: A `keras.callbacks.SwapEMAWeights`, to save averaged weights instead of the latest.
        devices: The `Devices` of `distribute`: all processes have this callback, the first one writes.
    """

    def __init__(
        self,
        folder: str,
        monitor: str = "val_accuracy",
        best: float | None = None,
        ema: keras.callbacks.SwapEMAWeights | None = None,
        devices: Devices | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.monitor, self.ema, self.devices = folder, monitor, ema, devices or Devices()
        self.best = -math.inf if best is None else best

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.ema):
            if self.devices.chief:
                with self.devices.alone():
                    self._save((logs or {}).get(self.monitor, -math.inf))

    def _save(self, value):
        last, best = (os.path.join(self.folder, name) for name in ("last.keras", "best.keras"))
        _write(last, self.model.save)
        if value > self.best:
            _write(best, lambda part: shutil.copyfile(last, part))
            self.best = value


@contextlib.contextmanager
def averaged(ema: keras.callbacks.SwapEMAWeights | None) -> Iterator[None]:
    """A context in which the model has its averaged weights, as during validation in `fit`; `None` changes nothing."""
    if ema:
        ema.on_test_begin()
    try:
        yield
    finally:
        if ema:
            ema.on_test_end()


class Backup(keras.callbacks.Callback):
    """Keeps what a killed training needs to go on: weights, optimizer and random state, after each epoch.

    `keras.callbacks.BackupAndRestore` does the same, but overwrites its last backup, and writes the number of the
    epoch into a second file: killed between the two, a run repeats an epoch on the new weights. Here the
    number is in the name of the file, which gets its name when it is complete. It is a NumPy file, because
    the HDF5 library ends the process when a disk is full.

    Args:
        folder: Where the backup is kept, a different folder for each run.
        devices: As for `BestAndLast`.

    Example:
    ```python
    backup = Backup("output/backup")
    model.fit(batches, epochs=300, initial_epoch=backup.restore(model), callbacks=[backup])
    ```
    """

    def __init__(self, folder: str, devices: Devices | None = None) -> None:
        super().__init__()
        self.folder, self.devices = folder, devices or Devices()
        self.generators = {}  # PyTorch's random states, to be restored when `fit` begins

    def epoch(self) -> int:
        """Returns how many epochs the backup was trained for, 0 if there is none."""
        return max(self._epochs(), default=0)

    def restore(self, model: keras.Model) -> int:
        """Restores a compiled model from the backup, if there is one, and returns how many epochs that has."""
        epoch = self.epoch()
        if epoch:
            model.optimizer.build(model.trainable_variables)
            pairs, self.generators = self._read(self._path(epoch), _state(model))
            for variable, value in pairs:
                variable.assign(value)
        return epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.generators:  # not before: what reads the data draws from them when `fit` begins
            _set_generators(self.generators)
            self.generators = {}

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise CheckpointError(
                f"The loss of epoch {epoch + 1} is {loss}: the backup of epoch {self.epoch()} is kept. Train with a "
                "smaller learning rate, with clip_norm, or in another precision."
            )
        if not self.devices.chief:
            return
        with self.devices.alone():
            values = {name: variable.numpy() for name, variable in _state(self.model).items()}
            values |= _generators()
        _write(self._path(epoch + 1), lambda part: np.savez(part, **values))
        for number in self._epochs():
            if number <= epoch:
                os.remove(self._path(number))

    def _read(self, path, variables):
        """Returns pairs of a variable and its value, if all of them fit, and the state of PyTorch's generators."""
        try:
            with np.load(path) as file:
                values = {name: file[name] for name in file.files}
        except Exception as error:  # of any type: a bit in a header says that the file is encrypted
            raise CheckpointError(
                f"The backup {path!r} is damaged: {error}. Put a copy of the file in its place, or begin again in "
                "another folder."
            ) from error
        generators = {name: values.pop(name) for name in list(values) if name.startswith(GENERATOR)}
        wrong = set(values) ^ set(variables)
        wrong |= {name for name in set(values) & set(variables) if values[name].shape != tuple(variables[name].shape)}
        if wrong:
            raise CheckpointError(
                f"The backup {path!r} is of a different model or optimizer: {len(wrong)} of its values have no "
                f"variable of their shape, or variables no value, such as {sorted(wrong)[0]!r}."
            )
        return [(variables[name], value) for name, value in values.items()], generators

    def _path(self, epoch):
        return os.path.join(self.folder, f"epoch-{epoch:04d}.npz")

    def _epochs(self):
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [int(match[1]) for match in map(BACKUP.fullmatch, names) if match]


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


def _write(path, write):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        kept = "; the one that was there is kept" if os.path.exists(path) else ""
        raise CheckpointError(f"Cannot write {path!r}{kept}: {error}") from error
