"""The folder that a training run leaves behind, and finds again."""

import csv
import json
import math
import os

from keras_mambaout.files import write_whole
from keras_mambaout.training.checkpoints import Backup

NOT_MEASURED = "NA"  # in history.csv


class RunFolder:
    """The folder of a run: its settings, the names of its classes, and the logs of its epochs, one row each.

    Args:
        folder: Path; the folder is made if there is none.
        settings: Dict of what makes the run what it is, written as JSON.
        class_names: List of names.
        chief: Whether this process writes; of several only the first does.
    """

    def __init__(self, folder: str, settings: dict, class_names: list[str], chief: bool) -> None:
        self.folder, self.class_names, self.chief = folder, class_names, chief
        self.settings = json.loads(json.dumps(settings))  # as they are read again: lists for tuples
        self.path, self.history = os.path.join(folder, "settings.json"), os.path.join(folder, "history.csv")
        self.rows = []

    def open(self, resume: bool, backup: Backup) -> int:
        """Makes the folder, or finds the run in it that is to be resumed; returns how many epochs that has."""
        if self.chief and os.path.exists(self.path):
            if not resume:
                raise ValueError(f"{self.folder!r} has a run already: go on with it (resume), or take another folder.")
            with open(self.path, encoding="utf-8") as file:
                self._check_settings(json.load(file))
        first = backup.epoch()
        self.rows = [row for row in self._read() if row["epoch"] < first]
        if self.chief:
            try:
                os.makedirs(self.folder, exist_ok=True)
                write_whole(os.path.join(self.folder, "classes.txt"), self._write_classes)
                write_whole(self.history, self._write_history)
                write_whole(self.path, self._write_settings)
            except OSError as error:
                raise self._unwritable(error) from error
        return first

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds the logs of an epoch; an epoch may have logs that those before it have not.

        (`keras.callbacks.CSVLogger` drops what the first epoch did not have.)
        """
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        if self.chief:
            try:
                write_whole(self.history, self._write_history)
            except OSError as error:
                raise self._unwritable(error) from error

    def columns(self) -> dict[str, list[float]]:
        """Returns the logs as a dict from name to values, one per epoch, NaN where it was not measured."""
        names = self._names()[1:]
        return {name: [row.get(name, math.nan) for row in self.rows] for name in names}

    def _names(self):
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _read(self):
        if not os.path.exists(self.history):
            return []
        with open(self.history, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and "" not in row.values()]
        return [{name: float(value) for name, value in row.items() if value != NOT_MEASURED} for row in rows]

    def _check_settings(self, old):
        new = self.settings
        pairs = [(f"recipe.{k}", old["recipe"].get(k), v) for k, v in new["recipe"].items()]
        pairs += [(k, old.get(k), v) for k, v in new.items() if k != "recipe"]
        changed = [f"{name} was {before!r}, is {now!r}" for name, before, now in pairs if before != now]
        if changed:
            raise ValueError(
                f"The run in {self.folder!r} had other settings ({'; '.join(changed)}): resume it with those, or "
                "take another folder."
            )

    def _write_settings(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.settings, file, indent=2)

    def _write_classes(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in self.class_names)

    def _write_history(self, path):
        """Writes the rows that the backup knows of, and those added; epochs after the backup are run again."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            if self.rows:
                writer = csv.DictWriter(file, self._names(), restval=NOT_MEASURED)
                writer.writeheader()
                writer.writerows({**row, "epoch": int(row["epoch"])} for row in self.rows)

    def _unwritable(self, error):
        return ValueError(f"Cannot write into the folder {self.folder!r}: {error}")
