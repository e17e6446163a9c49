"""The folder of a run: what is compared before it goes on, what damaged files do, who may write."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from keras_mambaout.files import locked
from keras_mambaout.training.history import History
from keras_mambaout.training.run_folder import RunFolder

pytestmark = pytest.mark.no_backend
SETTINGS = {
    "model": "mambaout_test",
    "weights": "imagenet",
    "precision": "float32",
    "seed": 0,
    "accumulate": 1,
    "images": 24,
    "images_digest": "0123456789abcdef",
    "recipe": {"epochs": 3, "betas": (0.9, 0.999), "clip_norm": None},
}
NAMES = ["dark", "light"]


class Epochs:
    """Stands for a backup."""

    def __init__(self, count):
        self.count = count

    def place(self):
        return self.count, 0


def run_of(folder, settings=SETTINGS, names=NAMES, resume=True, epochs=2):
    """Opens the run, and returns its history."""
    run = RunFolder(str(folder), settings, names, True)
    with run.opened(resume, Epochs(epochs)):
        pass
    return run.history


@pytest.fixture
def folder(tmp_path):
    """The folder of a run after two epochs."""
    run = RunFolder(str(tmp_path), SETTINGS, NAMES, True)
    with run.opened(False, Epochs(0)):
        run.append(0, {"loss": 2.0})
        run.append(1, {"loss": 1.5, "val_accuracy": 0.5})
    return tmp_path


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_run_goes_on_with_its_history(folder):
    history = run_of(folder)
    assert history.columns()["loss"] == [2.0, 1.5] and history.best("val_accuracy") == 0.5
    assert run_of(folder, epochs=1).columns()["loss"] == [
        2.0
    ]  # the backup is of the first epoch: the second runs again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "none"}, "weights was 'imagenet', is 'none'"),
        ({"precision": "mixed_bfloat16"}, "precision was 'float32', is 'mixed_bfloat16'"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"images": 25}, "images was 24, is 25"),
        ({"images_digest": "other"}, "images_digest was '0123456789abcdef', is 'other'"),
        ({"recipe": {**SETTINGS["recipe"], "epochs": 4}}, "recipe.epochs was 3, is 4"),
        (
            {"recipe": {**SETTINGS["recipe"], "betas": (0.9, 0.95)}},
            r"recipe.betas was \[0.9, 0.999\], is \[0.9, 0.95\]",
        ),
        ({"names": ["dark", "bright"]}, "class 1 was 'light', is 'bright'"),
        ({"names": ["dark"]}, "class names were 2, are 1"),
        ({"names": ["a", "b"], "seed": 3}, "class 0 was 'dark', is 'a'; class 1 was 'light', is 'b'; seed was 0, is 3"),
    ],
)
def test_what_differs_is_listed_and_nothing_is_written(folder, change, message):
    before = contents(folder)
    names = change.pop("names", NAMES)
    with pytest.raises(ValueError, match=rf"had other settings \({message}\): resume it with those"):
        run_of(folder, {**SETTINGS, **change}, names)
    assert contents(folder) == before


def test_many_renamed_classes_are_counted(folder):
    names = [f"class {number}" for number in range(10)]
    (folder / "classes.txt").write_text("".join(f"{name}!\n" for name in names))
    with pytest.raises(ValueError, match=r"class 2 was 'class 2!', is 'class 2'; 7 more classes have other names"):
        run_of(folder, names=names)


def test_runs_of_earlier_versions_go_on(folder):
    new = ("weights", "precision", "images_digest")
    settings = {name: value for name, value in SETTINGS.items() if name not in new}
    (folder / "settings.json").write_text(json.dumps(settings))
    assert run_of(folder).columns()["loss"] == [2.0, 1.5]
    assert json.loads((folder / "settings.json").read_text())["precision"] == "float32"
    run_of(folder, {**SETTINGS, "weights": None})  # as from Python, which says nothing of weights


TEXT = json.dumps(SETTINGS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", ""),
        ("settings.json", TEXT[:50]),
        ("settings.json", "[]"),
        ("settings.json", "[" * 100_000),
        ("settings.json", '{"recipe": 3}'),
        ("settings.json", b"\xff\xfe\x00"),
        ("history.csv", ""),
        ("history.csv", "epoch,loss\n0,2.0\n1"),
        ("history.csv", "epoch,loss\n0,2.0\n"),
        ("history.csv", "epoch,loss\n0,2.0\n1,abc\n"),
        ("history.csv", "epoch,loss\n0,2.0\n1,\n"),
        ("history.csv", "epoch,loss\n0,2.0\nnan,1.5\n"),
        ("history.csv", "epoch,loss\n0,2.0\n2,1.5\n"),
        ("history.csv", "epoch,loss\n0,2.0,3.0\n1,1.5\n"),
        ("history.csv", "loss,epoch\n2.0,0\n1.5,1\n"),
        ("history.csv", "epoch,loss,loss\n0,2.0,2.0\n1,1.5,1.5\n"),
        ("history.csv", b"\xff\xfe\x00"),
        ("history.csv", '"epoch'),
    ],
)
def test_damaged_files_are_named(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = contents(folder)
    with pytest.raises(ValueError, match=rf"'{path}', are damaged: .*Put a copy of the file in its place, or"):
        run_of(folder)
    assert contents(folder) == before


def test_deleted_logs_are_gone_and_the_run_goes_on(folder):
    (folder / "history.csv").unlink()
    run = RunFolder(str(folder), SETTINGS, NAMES, True)
    with run.opened(True, Epochs(2)):
        run.append(2, {"loss": 1.0})
    assert run_of(folder, epochs=3).columns() == {"loss": [1.0]}


def test_a_metric_that_is_no_number_is_no_damage(folder):
    run = RunFolder(str(folder), SETTINGS, NAMES, True)
    with run.opened(True, Epochs(2)):
        run.append(2, {"loss": 1.0, "val_accuracy": float("nan")})
    assert run_of(folder, epochs=3).best("val_accuracy") == 0.5


def test_parts_of_killed_runs_are_removed_and_nothing_else(folder):
    (folder / "backup").mkdir(exist_ok=True)
    parts = ["best.keras", "last.keras", "history.csv", "settings.json", "classes.txt", "backup/epoch-0003.npz"]
    for part in parts:
        path = folder / part
        path.with_name(f".123456-{path.name}").write_text("half")
    others = [".123456-mine.keras", "123456-best.keras", ".hidden-best.keras", "backup/.123456-epoch.txt"]
    for other in others:
        (folder / other).write_text("mine")
    before = set(contents(folder))
    run_of(folder)
    assert before - set(contents(folder)) == {f".123456-{os.path.basename(part)}" for part in parts}


HOLDER = """
import sys, time
from keras_mambaout.files import locked
with locked(sys.argv[1] + "/.lock", "busy"):
    print("locked", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def another_process(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_one_process_trains_in_a_folder(folder):
    before = contents(folder)
    with another_process(folder) as process:
        with pytest.raises(ValueError, match=rf"Another process trains in '{folder}': wait until it has ended"):
            run_of(folder)
        assert contents(folder) == before
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert run_of(folder).columns()["loss"] == [2.0, 1.5]  # a killed process holds nothing


def test_processes_of_one_distributed_run_share_a_folder(folder):
    with locked(folder / ".lock", "busy"):  # by the chief
        run = RunFolder(str(folder), SETTINGS, NAMES, False)
        with run.opened(True, Epochs(2)):
            assert run.history.columns()["loss"] == [2.0, 1.5]


@pytest.mark.parametrize("name", ["", "backup", "tensorboard", "settings.json", "history.csv", ".lock"])
def test_what_cannot_be_written_is_refused_before_training(tmp_path, name):
    """A file where a folder belongs, or a folder where a file does."""
    output = tmp_path / "run"
    path = output / name
    if name in ("", "backup", "tensorboard"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    else:
        path.mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"(Cannot write into|has a run already|{output}.*are damaged)"):
        run_of(output, resume=False, epochs=0)


def test_history_writes_every_column(tmp_path):
    history = History(str(tmp_path / "history.csv"), 0)
    history.append(0, {"loss": 2.0})
    history.append(1, {"loss": 1.0, "val_ap": 0.5})
    history.write()
    assert (tmp_path / "history.csv").read_text() == "epoch,loss,val_ap\n0,2.0,NA\n1,1.0,0.5\n"
