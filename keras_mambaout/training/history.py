"""The logs of a run's epochs, in a file that is whole after each of them."""

import csv
import math
import os

from keras_mambaout.files import write_whole

NOT_MEASURED = "NA"


class History:
    """A table of logs in a CSV file: one row per epoch, one column per log.

    An epoch may have logs that those before it have not. (`keras.callbacks.CSVLogger` drops what the first epoch did
    not have.)

    Args:
        path: The file.
        epochs: How many epochs are to be read from it; later ones, which are run again, are left out.

    Raises:
        ValueError: If there is a file, but it does not have these epochs.
    """

    def __init__(self, path: str, epochs: int) -> None:
        self.path = path
        self.rows = [row for row in self._read(epochs) if row["epoch"] < epochs]

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds the logs of an epoch; `write` writes them."""
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})

    def best(self, name: str) -> float | None:
        """Returns the highest value of a log, `None` if no epoch has it."""
        values = (row.get(name, math.nan) for row in self.rows)
        return max((value for value in values if not math.isnan(value)), default=None)

    def columns(self) -> dict[str, list[float]]:
        """Returns the logs as a dict from name to values, one per epoch, NaN where it was not measured."""
        return {name: [row.get(name, math.nan) for row in self.rows] for name in self._names()[1:]}

    def write(self) -> None:
        """Writes the file; if that fails, it stays as it was."""
        write_whole(self.path, self._write)

    def _write(self, path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            if self.rows:
                writer = csv.DictWriter(file, self._names(), restval=NOT_MEASURED)
                writer.writeheader()
                writer.writerows(self.rows)

    def _names(self):
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def _read(self, epochs):
        if not os.path.exists(self.path):
            return []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                lines = list(csv.reader(file, strict=True))
            if not lines and epochs:
                raise ValueError("it is empty")
            rows = [_row(lines[0], line) for line in lines[1:]]
            found = [row["epoch"] for row in rows]
            if found and found != list(range(found[0], found[0] + len(found))):
                raise ValueError(f"its epochs are {found}")
            if epochs and (not found or found[-1] < epochs - 1):
                raise ValueError(f"it has no row of epoch {epochs - 1}")
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(
                f"The logs of the run, {self.path!r}, are damaged: {error}. Put a copy of the file in its place, or "
                "delete it: the run then goes on without the logs of its earlier epochs, and best.keras will be the "
                "best of those to come."
            ) from error
        return rows


def _row(names, values):
    """Returns a line of the file as a dict."""
    if names[0] != "epoch" or len(set(names)) < len(names) or "" in names:
        raise ValueError(f"its columns are {', '.join(map(repr, names))}")
    if len(values) != len(names):
        raise ValueError(f"a row has {len(values)} values for {len(names)} columns")
    row = {name: float(value) for name, value in zip(names, values, strict=True) if value != NOT_MEASURED}
    return {**row, "epoch": int(values[0])}
