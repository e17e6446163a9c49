"""Runs of `keras-mambaout train` that take seconds, of each task, in processes of their own that can be harmed.

The processes are forks of this one, which has imported all that takes time, and begun nothing else.
"""

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import resource
import signal
import sys
import traceback

import keras  # noqa: F401
import numpy as np
import seeded
import small_segmenter
import tensorflow as tf  # noqa: F401
import white
from PIL import Image

from keras_mambaout import cli
from keras_mambaout.commands import detection
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.training import checkpoints, history, run_folder

EPOCHS = 2
COMMON = ["--model", "mambaout_test", "--weights", "none", "--image-size", "32", "--batch-size", "2"]
COMMON += ["--epochs", str(EPOCHS), "--drop-path", "0.1", "--learning-rate", "1e-3", "--resume", "--devices", "1"]
TASKS = ("classification", "instances", "semantic")
DETECTOR = {"proposals": 10, "box_samples": 8, "max_detections": 5}
WRITERS = (checkpoints, history, run_folder)  # modules that write the files of a run


def write_data(folder):
    """Writes the images of all tasks, and returns `{task: arguments of the command}`."""
    parts = {task: folder / task for task in TASKS}
    for task in TASKS:
        parts[task].mkdir()
    for number in range(8):
        path = parts["classification"] / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(seeded.photo(40, 48) // 2 + 100 * (number % 2)).save(path)
    labels, photos = white.write(parts["instances"])
    images, maps, names = small_segmenter.write(parts["semantic"], [(40, 60)] * 4)
    (folder / "names.txt").write_text("\n".join(names))
    options = {
        "classification": ["--data", parts["classification"], "--ema", "0.9"],
        "instances": ["--annotations", labels, "--images", photos, "--channels", "8"],
        "semantic": ["--images", images, "--labels", maps, "--classes", folder / "names.txt", "--channels", "8"],
    }
    return {task: ["train", task, *COMMON, *map(str, options[task])] for task in TASKS}


class Training:
    """A training in a fork, that has begun.

    Args:
        command: Arguments of the command.
        output: Its `--output`.
        prepare: Called in the fork before.
    """

    def __init__(self, command, output, prepare=lambda: None):
        begun, begins = os.pipe()
        self._said, says = os.pipe()
        fcntl.fcntl(says, fcntl.F_SETPIPE_SZ, 2**20)  # more than it says
        self.process = os.fork()
        if self.process == 0:
            try:
                self._run([*command, "--output", str(output)], prepare, begins, says)
            finally:  # Ctrl-C may come when all is done
                os._exit(130)
        os.close(begins)
        os.close(says)
        os.read(begun, 1)
        os.close(begun)

    @staticmethod
    def _run(command, prepare, begins, says):
        """Runs the command, and ends this process whatever happens."""
        status = 99
        try:
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 1)
            os.dup2(says, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
            detection.mask_rcnn = functools.partial(mask_rcnn, **DETECTOR)
            prepare()
            os.write(begins, b"!")
            status = cli.main(command)
        except KeyboardInterrupt:
            status = 130 if status == 99 else status  # before the command could notice, or after it has ended
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def send(self, number):
        """Sends a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, number)

    def end(self):
        """Waits for the end; returns the exit status, negative for a signal, and what was said in the command's name.

        Raises:
            AssertionError: If that is more than a line, or a traceback.
        """
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        with open(self._said, errors="replace") as file:
            text = file.read()
        said = [line for line in text.splitlines() if line.startswith("keras-mambaout: ")]
        if "Traceback" in text or len(said) > 1 or status == 99:
            raise AssertionError(f"status {status}: {text[-2000:]}")
        return status, said[0] if said else ""


def before_write(which, act):
    """Makes this process call `act(write, path)` in the place of `write(path)` in a write.

    Args:
        which: The number of the write, from 0, or the name of the file.
        act: What is called.
    """
    count, whole = 0, checkpoints.write_whole

    def write_whole(path, write):
        nonlocal count
        acts = which in (count, os.path.basename(path))
        count += 1
        whole(path, functools.partial(act, write) if acts else write)

    for module in WRITERS:
        module.write_whole = write_whole


def kill_half_way(write, path):
    """Writes half of a file, and is killed."""
    write(path)
    os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full_at(size):
    """Returns what writes onto a disk on which files can have no more than `size` bytes, from then on."""

    def write_on(write, path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        write(path)

    return write_on


def state(output):
    """Returns everything that the last backup of a run holds, `{name: array}`."""
    with np.load(output / "backup" / f"epoch-{EPOCHS:04d}.npz") as file:
        return {name: file[name] for name in file.files}


def check_same(output, unbroken):
    """Checks that a run ended as one that nothing interrupted, and left nothing else."""
    found, expected = state(output), state(unbroken)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    names = [{path.relative_to(folder) for path in files_of(folder)} for folder in (output, unbroken)]
    assert names[0] == names[1], names[0] ^ names[1]
    rows = (output / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", *map(str, range(EPOCHS))]
    settings = [json.loads((folder / "settings.json").read_text()) for folder in (output, unbroken)]
    assert settings[0] == settings[1]


def files_of(output):
    """Returns the files of a run, but for those of TensorBoard, which each start adds."""
    return [path for path in pathlib.Path(output).rglob("*") if path.is_file() and "tensorboard" not in path.parts]
