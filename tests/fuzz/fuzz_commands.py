"""Command lines, made of the parser's own commands and options, with something wrong in them.

They run in this process, by `cli.main`, each in an empty folder. Models and data are tiny; a training and a comparison
end where their long work would begin.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import zlib

os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=os.path.join(tempfile.gettempdir(), f"no-home-{os.getpid()}"))

import command_lines

from keras_mambaout import cli
from keras_mambaout.commands import push, training
from keras_mambaout.commands import values as types
from keras_mambaout.compare import comparison
from keras_mambaout.models.saved import load_model

COUNT = 600
OUTPUT = "out"
INPUTS = ("--model", "--weights", "--data", "--tfds")  # names of what is read, also of what is no file
MUST, MAY = True, False  # whether a line must be refused
LONG = "n" * 5000


class Reached(Exception):
    """The checks are over, and the long work would begin."""


def prepare(folder):
    folder = pathlib.Path(folder) / "made"
    folder.mkdir()
    made = {**command_lines.write(folder), "lines": command_lines.lines()}
    (folder / "empty").mkdir()
    (folder / "binary").write_bytes(bytes(range(256)) * 20)
    (folder / "binary.keras").write_bytes(bytes(range(256)) * 20)
    (folder / "folder.keras").mkdir()
    made |= {"photo": f"{made['images']}/1.png", "binary": str(folder / "binary"), "empty": str(folder / "empty")}
    made["runs"] = tempfile.mkdtemp(dir=folder.parent)
    _replace_long_work({made[task]: load_model(made[task]) for task in command_lines.TASKS})
    return made


def _replace_long_work(models):
    def cached(function):
        return lambda name, *tasks: models[name] if name in models and not tasks else function(name, *tasks)

    def open_model(name, tasks):
        if name not in models:
            return real(name, tasks)
        return next(task for task in (*tasks[1:], tasks[0]) if task.fits(models[name])), models[name]

    def reach(*args, **kwargs):
        raise Reached

    real, cli.open_model = cli.open_model, open_model
    push.load_model = cached(push.load_model)
    training.train = reach
    comparison.Run.start = reach


def make(made, random):
    while True:
        line = _pick(random, made["lines"])
        wrong = _pick(random, list(WRONG))
        case = WRONG[wrong](made, line, random)
        if case is not None:
            arguments, names, must = case
            return wrong, {"arguments": arguments, "names": names, "must": must}


def attempt(made, given):
    before = _listing(made["folder"])
    with tempfile.TemporaryDirectory(dir=made["runs"]) as folder:
        with contextlib.chdir(folder):
            status, output, errors = _run(given["arguments"])
        after = _listing(folder)
    if _listing(made["folder"]) != before:
        raise AssertionError(f"inputs changed: {given}")
    if status == 0:
        if given["must"]:
            return "silent"
        _check_output(given["arguments"], output, after)
        return "right"
    lines = [line for line in errors.splitlines() if ": error: " in line]
    if status not in (1, 2) or len(lines) != 1 or lines[0] != errors.splitlines()[-1] or "Traceback" in errors:
        raise AssertionError(f"status {status} of {given}: {errors[-300:]!r}")
    if not any(name in lines[0] for name in _forms(given["names"])):
        raise AssertionError(f"{given} is not named in {lines[0]!r}")
    return "changed" if after else "refused"


def _run(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        except Reached:
            status = 0
            print("reached")
    return status, output.getvalue(), errors.getvalue()


def _check_output(arguments, output, files):
    """What a command says and writes, if it takes a line."""
    if not output.strip():
        raise AssertionError(f"nothing was printed: {arguments}")
    if "--json" in arguments and not {"-h", "--help"} & {*arguments}:
        json.loads(output)
    named = {argument.partition("=")[2] or argument for argument in arguments}
    named |= {"output", "compare"}  # the defaults
    strange = [file for file in files if file not in named and file.split("/")[0] not in named]
    if strange:
        raise AssertionError(f"{strange} was written: {arguments}")


def _forms(names):
    """How an error may name an option or a value: also as Python writes it, and as an argument of Python."""
    for name in names:
        yield from (name, repr(name)[1:-1], " ".join(name.splitlines()), name.lstrip("-").replace("-", "_"))


def _listing(folder):
    files = sorted(path for path in pathlib.Path(folder).rglob("*"))
    return {
        str(path.relative_to(folder)): zlib.crc32(path.read_bytes()) if path.is_file() else "folder" for path in files
    }


def _pick(random, choices):
    return choices[int(random.integers(len(choices)))]


def _actions(line, *types):
    """The options of a line that take a value, of these types if any are given."""
    actions = [action for action in line.options.values() if action.nargs != 0]
    return [action for action in actions if not types or (action.type in types and not action.choices)]


def _with(made, line, action, value, must, names=()):
    """A line that is right but for an option, as two words or one."""
    flag = action.option_strings[0]
    typed = (
        [f"{flag}={value}"]
        if value.startswith("-") or zlib.crc32(value.encode(errors="replace")) % 2
        else [flag, value]
    )
    return [*_base(made, line), *typed], [flag, value, *names], must


def _base(made, line):
    """A line that is right, and needs no network."""
    return [*command_lines.base(line, made, OUTPUT), *(["--output", OUTPUT] if line.words == ["push"] else [])]


def _nothing(made, line, random):
    return _base(made, line), [""], MAY


def _several(made, line, random):
    """Right values, which may contradict each other."""
    arguments, names = _base(made, line), []
    for _ in range(int(random.integers(1, 6))):
        if not line.options:
            return None
        action = _pick(random, list(line.options.values()))
        value = command_lines.right(line, action, made, f"{OUTPUT}put")
        arguments += [action.option_strings[0], *value]
        names += [action.option_strings[0], *value]
    return arguments, [*names, *arguments[1:]], MAY


def _number(made, line, random):
    actions = [action for action in _actions(line) if isinstance(action.type, types.Number)]
    if not actions:
        return None
    action = _pick(random, actions)
    return _with(made, line, action, _pick(random, command_lines.wrong(action, made)), MUST)


def _place(made, line, random):
    """Where nothing can be written."""
    actions = _actions(line, types.output_folder, types.picture, types.json_file)
    if not actions:
        return None
    action = _pick(random, actions)
    return _with(made, line, action, _pick(random, command_lines.wrong(action, made)), MUST)


def _choice(made, line, random):
    actions = [action for action in _actions(line) if action.choices or action.type in (types.labels, types.devices)]
    if not actions:
        return None
    action = _pick(random, actions)
    return _with(made, line, action, _pick(random, command_lines.wrong(action, made)), MUST)


def _no_text(made, line, random):
    actions = _actions(line, None)
    if not actions:
        return None
    action = _pick(random, actions)
    return _with(made, line, action, _pick(random, command_lines.wrong(action, made)), MUST)


def _path(*values):
    """Returns a maker of lines in which an option has one of these values, or the photos of `predict` have it."""

    def maker(made, line, random):
        value = _pick(random, values).format(**made, long=LONG)
        actions = _actions(line, None)
        if line.words == ["predict"] and random.integers(2):
            must = MAY if value == made["photo"] else MUST
            return ["predict", value, "--model", made[line.task.TRAINING], "--size", "32"], [value], must
        if not actions:
            return None
        action = _pick(random, actions)
        flag = action.option_strings[0]
        must = action.metavar in ("FILE", "FOLDER") or flag in INPUTS
        if line.words == ["compare"] and value == made["parts"]:
            must = MAY  # it takes images from folders in the folder
        names = ["of the hub"] if value == "hf://" else []  # there is nothing else to name
        return _with(made, line, action, value, MUST if must else MAY, names)

    return maker


def _unknown(made, line, random):
    flag = _pick(random, ["--nonsense", "--Size", "--batch_size", "--top5", "-x", "--size-"])
    return [*_base(made, line), flag, "1"], [flag], MUST


def _foreign(made, line, random):
    """An option of another command or task."""
    others = [(other, action) for other in made["lines"] for action in other.options.values()]
    other, action = _pick(random, [pair for pair in others if pair[1].option_strings[0] not in line.options])
    value = command_lines.right(other, action, made, f"{OUTPUT}put")
    return [*_base(made, line), action.option_strings[0], *value], action.option_strings, MUST


def _short(made, line, random):
    actions = [action for action in line.options.values() if action.option_strings[0][:-1] not in line.options]
    if not actions:
        return None
    action = _pick(random, actions)
    flag = action.option_strings[0][:-1]
    value = command_lines.right(line, action, made, f"{OUTPUT}put")
    return [*_base(made, line), flag, *value], [flag], MUST


def _no_value(made, line, random):
    actions = [action for action in _actions(line) if action.nargs is None]
    if not actions:
        return None
    flag = _pick(random, actions).option_strings[0]
    more = [] if random.integers(2) else [next(iter(line.options))]
    return [*_base(made, line), flag, *more], [flag], MUST


def _too_much(made, line, random):
    """A value for an option that takes none, or a word more than the command takes."""
    flags = [action for action in line.options.values() if action.nargs == 0]
    if flags and random.integers(2):
        flag = _pick(random, flags).option_strings[0]
        return [*_base(made, line), f"{flag}=yes"], [flag], MUST
    if line.words in (["predict"], ["list"]):
        return None
    return [*_base(made, line), "word"], ["word"], MUST


def _missing(made, line, random):
    """Without what the command cannot do without."""
    base = _base(made, line)
    flags = [
        index
        for index, word in enumerate(base)
        if word in ("--data", "--annotations", "--images", "--labels", "--repo")
    ]
    if not flags or line.words == ["compare"]:
        return None
    place = _pick(random, flags)
    return base[:place] + base[place + 2 :], [base[place], "--data"], MUST


def _repeated(made, line, random):
    """An option twice: the last one counts."""
    base = _base(made, line)
    actions = [action for action in _actions(line) if isinstance(action.type, types.Number)]
    if not actions:
        return None
    action = _pick(random, actions)
    value = command_lines.right(line, action, made, OUTPUT)
    wrong = random.integers(2)
    more = [action.option_strings[0], "nonsense"] if wrong else []
    names = [action.option_strings[0], *(word for word in base if word.startswith("--"))]
    return [*base, *more, action.option_strings[0], *value], names, MUST if wrong else MAY


def _another_model(made, line, random):
    """A model of another task."""
    if line.words not in (["predict"], ["evaluate"]):
        return None
    base = _base(made, line)
    other = made[_pick(random, [task for task in command_lines.TASKS if task != line.task.TRAINING])]
    base[base.index("--model") + 1] = other
    names = [other, *(word for word in base[1:] if len(word) > 3)]
    return base, names, MAY if line.words == ["predict"] else MUST


def _many(made, line, random):
    """Several of the above in one line."""
    arguments, names, must = _base(made, line), [], MAY
    for _ in range(int(random.integers(2, 5))):
        maker = _pick(random, [_number, _place, _choice, _no_text, _unknown, _no_value, _foreign, _several])
        case = maker(made, line, random)
        if case is not None:
            more, named, bad = case
            arguments += more[len(_base(made, line)) :]
            names += named
            must = must or bad
    return arguments, [*names, *(word for word in arguments if word)], must


def _no_command(made, line, random):
    words = _pick(
        random, [[], ["train"], ["nonsense"], ["train", "nonsense"], ["Predict"], [""], ["--help-"], ["predict"]]
    )
    return words, ["COMMAND", "TASK", "PHOTO"], MUST


WRONG = {
    "nothing": _nothing,
    "several right options": _several,
    "number out of range, or none": _number,
    "place where nothing can be written": _place,
    "choice that is none": _choice,
    "empty text, NUL, surrogate": _no_text,
    "path: missing": _path("missing", "missing/file.png", "~", "ünï.png", "-", "hf://", "hf://me/missing", "s3://x/y"),
    "path: a folder": _path("{empty}", ".", "{empty}/"),
    "path: another file": _path("{binary}", "{photo}", "{metrics}", "{parts}"),
    "path: no model": _path("{folder}/binary.keras", "{folder}/folder.keras", "{folder}/missing.keras"),
    "path: a device": _path("/dev/null", "/dev/full", "/proc/self/mem"),
    "path: very long, odd characters": _path(
        "{long}", "{long}.keras", "new\nline", "\udcff", "\udcff.keras", "\x1b[2J"
    ),
    "unknown option": _unknown,
    "option of another task": _foreign,
    "abbreviated option": _short,
    "option without its value": _no_value,
    "word or value too much": _too_much,
    "what is needed is missing": _missing,
    "option twice": _repeated,
    "model of another task": _another_model,
    "several of these": _many,
    "no command": _no_command,
}
