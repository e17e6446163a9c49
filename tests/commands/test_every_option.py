"""Every option of every command and task, taken from the parser: read if it is right, one line if it is wrong."""

import argparse
import contextlib
import io
import os

import command_lines
import pytest

from keras_mambaout import cli
from keras_mambaout.commands import classification, compare, detection, export, push, segmentation, training
from keras_mambaout.models.saved import load_model

LINES = command_lines.lines()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return command_lines.write(tmp_path_factory.mktemp("made"))


def run(arguments):
    """Returns the status and what was printed on stderr by the command line itself."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
    return status, errors.getvalue()


def assert_refused(arguments, named, status=(1, 2)):
    given, said = run(arguments)
    assert given in status, (arguments, given, said)
    assert_one_error(given, said, arguments, [named])


def assert_one_error(status, said, arguments, names):
    """One line that names the option or what was given for it."""
    assert status in (1, 2), (arguments, status, said)
    assert said.count("\n") == 1 and said.startswith("keras-mambaout") and ": error: " in said, (arguments, said)
    assert any(name in said for name in names), (arguments, said)


@pytest.mark.no_backend
def test_the_lines_are_all_there():
    assert {str(line) for line in LINES} >= {"predict semantic", "train instances", "compare", "push", "list"}
    assert len(LINES) == 13 and sum(len(line.options) for line in LINES) > 120


@pytest.mark.no_backend
@pytest.mark.parametrize("line", LINES, ids=str)
def test_wrong_values_are_refused_at_once(line, made, monkeypatch):
    """Before a model is loaded or a file is read: the parser alone says it."""

    def load(*args, **kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(cli, "open_model", load)
    monkeypatch.chdir(made["folder"])
    photo = ["photo.png"] if line.words == ["predict"] else []
    before = sorted(os.listdir())
    for flag, action in line.options.items():
        for text in command_lines.wrong(action, made):
            assert_refused([*line.words, *photo, f"{flag}={text}"], flag, status=(2,))
        if action.nargs == 0:
            assert_refused([*line.words, *photo, f"{flag}=yes"], flag, status=(2,))
        elif action.nargs is None:
            assert_refused([*line.words, *photo, flag], flag, status=(2,))
    assert sorted(os.listdir()) == before


@pytest.mark.no_backend
@pytest.mark.parametrize("line", LINES, ids=str)
def test_options_have_their_full_names(line, made, monkeypatch):
    monkeypatch.setattr(cli, "open_model", lambda *args: pytest.fail("a model was loaded"))
    for flag, action in line.options.items():
        if flag[:-1] not in line.options:
            value = command_lines.right(line, action, made, made["folder"])
            assert_refused([*command_lines.base(line, made, made["folder"]), flag[:-1], *value], flag[:-1])


class Reads(argparse.Namespace):
    """Remembers which options were read since the command began, which `cli.main` does by reading `run`."""

    names = None

    def __getattribute__(self, name):
        if name == "run":
            Reads.names = set()
        elif Reads.names is not None:
            Reads.names.add(name)
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def models(made):
    return {made[task]: load_model(made[task]) for task in command_lines.TASKS}


@pytest.fixture
def tiny(made, models, monkeypatch):
    """Models are loaded and evaluated once; trainings, comparisons and uploads only begin."""

    def stub(module, name):
        function, results = getattr(module, name), {}

        def first(*args, **kwargs):
            kind = kwargs.get("iou_type")  # what the result has
            if kind not in results:
                results[kind] = function(*args, **kwargs)
            return results[kind]

        monkeypatch.setattr(module, name, first)

    tasks = {made[task.TRAINING]: task for task in cli.TASKS}
    monkeypatch.setattr(cli, "open_model", lambda name, _: (tasks[name], models[name]))
    monkeypatch.setattr(push, "load_model", lambda name: models[name])
    for module, names in (
        (classification, ("classify", "evaluate_classifier", "create_model")),
        (detection, ("detect", "evaluate_detector", "draw_examples", "mask_rcnn")),
        (segmentation, ("evaluate_segmenter", "upernet")),
    ):
        for name in names:
            stub(module, name)
    monkeypatch.setattr(
        segmentation, "segment", lambda _, photos, **options: [photo[..., 0] // 255 for photo in photos]
    )
    history = {name: [0.5] for task in cli.TASKS for name in task.METRICS}
    monkeypatch.setattr(training, "train", lambda *args, **kwargs: history)
    monkeypatch.setattr(compare, "compare_backends", lambda *args, **kwargs: {"agree": True})
    monkeypatch.setattr(compare, "format_report", str)
    monkeypatch.setattr(export, "load_model", lambda name: models[name])
    manifest = {"file": "model.onnx", "difference": {"logits": 0.0}, "seconds": {"keras": 1.0, "file": 1.0}}
    manifest |= {"backend": "torch", "compared": [[1, 32, 32, 3]]}
    monkeypatch.setattr(export, "export", lambda *args, **kwargs: manifest)
    monkeypatch.setattr(push, "push_to_hub", lambda *args, **kwargs: "url")
    monkeypatch.setattr(argparse, "Namespace", Reads)


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("line", LINES, ids=str)
def test_an_option_is_read_or_refused(line, made, tiny, tmp_path, monkeypatch):
    """What the command takes without a word it also uses; what does not go with the rest gets one line."""
    monkeypatch.chdir(tmp_path)
    output = str(tmp_path / "out")
    base = command_lines.base(line, made, output)
    assert run(base)[0] == 0, run(base)
    for flag, action in line.options.items():
        value = command_lines.right(line, action, made, str(tmp_path / "other"))
        arguments = [*base, flag, *value]
        Reads.names = None
        status, said = run(arguments)
        if status:
            assert_one_error(status, said, arguments, (flag, flag[2:].replace("-", "_"), *value))
        assert action.dest in Reads.names, (arguments, said)


@pytest.mark.no_backend
def test_an_option_that_nobody_reads_would_be_found(made, monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(argparse, "Namespace", Reads)
    monkeypatch.setattr(cli, "open_model", lambda name, _: (classification, None))
    monkeypatch.setattr(classification, "predict", lambda args, model: args.images)
    assert run(["predict", "photo.png", "--top", "3"]) == (0, "")
    assert "images" in Reads.names and "top" not in Reads.names


@pytest.mark.first_on("torch")
def test_a_folder_with_train_and_val(made, capsys):
    """`evaluate` takes the part for validation and says so; the data set itself refuses it."""
    command = ["evaluate", "--model", made["classification"], "--size", "32", "--json", "--data"]
    assert cli.main([*command, made["val"]]) == 0
    expected = capsys.readouterr().out
    assert '"images": 3' in expected
    assert cli.main([*command, made["parts"]]) == 0
    assert capsys.readouterr().out == expected
