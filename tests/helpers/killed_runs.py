"""Kills a training of each task inside an epoch, resumes it, and compares it with one that nothing interrupted.

    KERAS_BACKEND=jax python tests/helpers/killed_runs.py FOLDER TASK...

The killed one writes a backup after each step, and dies half-way in writing that of its first epoch: it goes on with
the last step of that epoch. The other one writes no backups inside of epochs.
"""

import csv
import pathlib
import sys

import numpy as np
import tiny_runs
from tiny_runs import Training

FIRST = "epoch-0001.npz"


def main(folder, *tasks):
    folder = pathlib.Path(folder)
    commands = tiny_runs.write_data(folder)
    for task in tasks:
        unbroken, killed = (folder / "runs" / task / name for name in ("unbroken", "killed"))
        finish(commands[task], unbroken)
        command = [*commands[task], "--backup-every", "1"]
        status, _ = Training(command, killed, lambda: tiny_runs.before_write(FIRST, tiny_runs.kill_half_way)).end()
        (backup,) = (killed / "backup").glob("epoch*")
        assert status == -9 and backup.name.startswith("epoch-0000-step-"), (status, backup)
        finish(command, killed)
        tiny_runs.check_same(killed, unbroken)
        (names, found), (same, expected) = map(logs, (killed, unbroken))
        assert names == same
        np.testing.assert_array_equal(found, expected)
        print(task, backup.name, "goes on")


def logs(output):
    """Returns the names of a run's logs, and their values."""
    with open(output / "history.csv", newline="") as file:
        names, *rows = csv.reader(file)
    return names, np.array([[float(value.replace("NA", "nan")) for value in row] for row in rows])


def finish(command, output):
    status, said = Training(command, output).end()
    assert status == 0, said


if __name__ == "__main__":
    main(*sys.argv[1:])
