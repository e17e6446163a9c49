"""Saved models that survive a kill, and a full disk, at any moment."""

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterator

import keras

from keras_mambaout.files import write_whole
from keras_mambaout.training.distribution import Devices


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
        write_checkpoint(last, self.model.save)
        if value > self.best:
            write_checkpoint(best, lambda part: shutil.copyfile(last, part))
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


def write_checkpoint(path: str, write: Callable[[str], None]) -> None:
    """Writes a file by `write(path)`; a file that was there is replaced when the new one is complete."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        kept = "; the one that was there is kept" if os.path.exists(path) else ""
        raise CheckpointError(f"Cannot write {path!r}{kept}: {error}") from error
