"""What can befall a training: it is killed, interrupted, has no room on the disk, finds its files damaged.

After each fault the run is resumed, and must end with the weights, the state of the optimizer and the files of one
that nothing interrupted. Damaged files must be named, or not matter.
"""

import pathlib
import shutil
import signal
import time

import tiny_runs
from tiny_runs import Training

COUNT = 40
DAMAGED = ("settings.json", "history.csv", "classes.txt", "backup/epoch-0001.npz")
KINDS = ("killed", "killed in a write", "interrupted", "disk full", "two at once", *["damaged"] * 5)  # that is quick


def prepare(folder):
    folder = pathlib.Path(folder)
    return {"folder": folder, "commands": tiny_runs.write_data(folder), "tasks": {}}


def _task(made, name):
    """Returns a task's command, the folder of a run that nothing interrupted, and its seconds."""
    if name not in made["tasks"]:
        command = made["commands"][name]
        output = made["folder"] / "runs" / name / "unbroken"
        begin = time.monotonic()
        status, said = Training(command, output).end()
        assert status == 0, said
        seconds = time.monotonic() - begin
        made["tasks"][name] = {"command": command, "unbroken": output, "seconds": seconds}
    return made["tasks"][name]


def make(made, random):
    kind = KINDS[random.integers(len(KINDS))]
    return kind, {
        "kind": kind,
        "task": tiny_runs.TASKS[random.integers(len(tiny_runs.TASKS))],
        "moment": float(random.random()),
        "write": int(random.integers(3 + 3 * tiny_runs.EPOCHS)),
        "size": int(random.choice([0, 1, 200, 5_000, 100_000])),
        "file": DAMAGED[random.integers(len(DAMAGED))],
        "damage": int(random.integers(6)),
    }


def attempt(made, given):
    task = _task(made, given["task"])
    output = made["folder"] / "run"
    shutil.rmtree(output, ignore_errors=True)
    outcome = FAULTS[given["kind"]](task, output, given)
    if outcome is not None:
        return outcome
    status, said = Training(task["command"], output).end()
    assert status == 0, said
    tiny_runs.check_same(output, task["unbroken"])
    return "right"


def _killed(task, output, given):
    training = Training(task["command"], output)
    time.sleep(given["moment"] * task["seconds"])
    training.send(signal.SIGKILL)
    training.end()


def _killed_in_a_write(task, output, given):
    die = lambda: tiny_runs.before_write(given["write"], tiny_runs.kill_half_way)  # noqa: E731
    Training(task["command"], output, die).end()


def _interrupted(task, output, given):
    training = Training(task["command"], output)
    time.sleep(given["moment"] * task["seconds"])
    training.send(signal.SIGINT)
    status, said = training.end()
    assert status in (0, 130) and (status == 130 or not said), (status, said)
    assert ("--resume" in said) == (status == 130 and any(output.glob("backup/epoch-*"))), said


def _disk_full(task, output, given):
    fill = lambda: tiny_runs.before_write(given["write"], tiny_runs.disk_full_at(given["size"]))  # noqa: E731
    status, said = Training(task["command"], output, fill).end()
    assert status == 0 or (status == 1 and str(output) in said and "rite" in said), (status, said)


def _two_at_once(task, output, given):
    """The second one is refused as long as the first one trains; that one does not notice."""
    first = Training(task["command"], output)
    deadline = time.monotonic() + 120
    while not (output / "settings.json").exists():
        assert time.monotonic() < deadline, "the first one does not begin"
        time.sleep(0.05)
    first.send(signal.SIGSTOP)
    try:
        status, said = Training(task["command"], output).end()
    finally:
        first.send(signal.SIGCONT)
    assert status == 1 and f"Another process trains in {str(output)!r}" in said, (status, said)
    assert first.end() == (0, "")
    tiny_runs.check_same(output, task["unbroken"])
    return "refused"


def _damaged(task, output, given):
    half = task["unbroken"].with_name("half")
    if not half.exists():  # classes, history, settings, then in each epoch history, last, perhaps best, and backup
        Training(task["command"], half, lambda: tiny_runs.before_write(7, tiny_runs.kill_half_way)).end()
        assert (half / "backup" / "epoch-0001.npz").exists()
    shutil.copytree(half, output)
    path = output / given["file"]
    path.write_bytes(_damage(path.read_bytes(), given["damage"], given["moment"]))
    before = _contents(output)
    status, said = Training(task["command"], output).end()
    if status == 0:
        tiny_runs.check_same(output, task["unbroken"])
        return "right"
    assert status == 1 and str(output) in said, (status, said)
    return "refused" if _contents(output) == before else "changed"


def _contents(output):
    """Returns the files of a run, but for the parts that a killed one leaves, which may be removed."""
    return {path: path.read_bytes() for path in tiny_runs.files_of(output) if not path.name.startswith(".")}


def _damage(content, how, where):
    """Returns a file's content, cut off, flipped in a bit or replaced."""
    place = int(where * len(content))
    flipped = bytes([content[place] ^ (1 << int(where * 1000) % 8)]) if content else b""
    return [
        b"",
        content[:place],
        content[:place] + flipped + content[place + 1 :],
        content[:place] + bytes(len(content) - place),
        b'["other", 1]\n',
        b"epoch,loss\n0,nan\nnan,1\n",
    ][how]


FAULTS = {
    "killed": _killed,
    "killed in a write": _killed_in_a_write,
    "interrupted": _interrupted,
    "disk full": _disk_full,
    "two at once": _two_at_once,
    "damaged": _damaged,
}
