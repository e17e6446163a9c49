"""A training of each task that was killed inside an epoch ends like one that was not."""

import os
import pathlib
import subprocess
import sys

import killed_runs
import pytest

WORKER = pathlib.Path(killed_runs.__file__)
IN_FULL = pytest.mark.exhaustive  # `test_train` has a killed classification on each backend


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("tasks", [("semantic", "instances"), pytest.param(("classification",), marks=IN_FULL)])
def test_a_killed_run_goes_on_inside_an_epoch(tasks, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (WORKER.parent, WORKER.parents[2])))}
    command = [sys.executable, str(WORKER), str(tmp_path), *tasks]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(tasks)
