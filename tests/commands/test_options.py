"""The options of each command: which there are, what they are by default, and that others are refused."""

import argparse

import keras
import pytest

from keras_mambaout import cli
from keras_mambaout.commands import classification, detection, segmentation, values
from keras_mambaout.commands.tasks import TaskOptions

pytestmark = pytest.mark.no_backend

OPTIONS = {name: TaskOptions(name, cli.TASKS) for name in cli.MODEL_COMMANDS}
FILE = "model.keras"


def value(keywords):
    """A value that the option takes, as it is typed."""
    if keywords.get("action") == "store_true":
        return []
    kind = keywords.get("type")
    if isinstance(kind, values.Number):
        return ["0.3" if kind.kind is float else "33"]
    known = {values.picture: "missing/x.png", values.json_file: "x.json", values.labels: "3"}
    return keywords.get("choices", ())[:1] or [known.get(kind, "text")]


def foreign():
    """Each option of a command with each task that does not use it."""
    for command, options in OPTIONS.items():
        for flag, uses in options.options.items():
            typed = [flag, *value(next(iter(uses.values())))]
            yield from ((command, task, typed, tuple(uses)) for task in cli.TASKS if task not in uses)


def pieces(command):
    return [command, "photo.png"] if command == "predict" else [command]


@pytest.mark.parametrize(
    ("command", "task", "typed", "users"), list(foreign()), ids=lambda part: getattr(part, "TRAINING", None)
)
def test_an_option_of_other_tasks_is_refused(command, task, typed, users, monkeypatch, capsys):
    monkeypatch.setattr(cli, "open_model", lambda name, tasks: (task, None))
    assert cli.main([*pieces(command), "--model", FILE, *typed]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"keras-mambaout: error: {typed[0]} is for ") and error.count("\n") == 1
    assert error.endswith(f"; {FILE} is {task.MODEL}.\n")
    assert all(user.NAME in error for user in users)


def test_the_sentence(monkeypatch, capsys):
    monkeypatch.setattr(cli, "open_model", lambda name, tasks: (detection, None))
    cli.main(["predict", "photo.png", "--model", "detector.keras", "--multi-scale"])
    sentence = "--multi-scale is for semantic segmentation; detector.keras is an object detector."
    assert capsys.readouterr().err == f"keras-mambaout: error: {sentence}\n"
    monkeypatch.setattr(cli, "open_model", lambda name, tasks: (classification, None))
    cli.main(["evaluate", "--pictures", "2", "--model", "mambaout_tiny"])
    sentence = "--pictures is for object detection and semantic segmentation; mambaout_tiny is an image classifier."
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("command", OPTIONS)
@pytest.mark.parametrize("task", cli.TASKS, ids=lambda task: task.TRAINING)
def test_own_options_and_defaults_arrive(command, task, monkeypatch):
    given = []
    monkeypatch.setattr(cli, "open_model", lambda name, tasks: (task, "the model"))
    monkeypatch.setattr(task, command, lambda args, model: given.append((args, model)))
    own = {flag: uses[task] for flag, uses in OPTIONS[command].options.items() if task in uses}
    assert cli.main(pieces(command)) == 0
    assert cli.main([*pieces(command), *[part for flag, use in own.items() for part in (flag, *value(use))]]) == 0
    (defaults, model), (args, _) = given
    assert model == "the model" and defaults.model == "mambaout_tiny" and defaults.json is False
    for flag, keywords in own.items():
        name = flag[2:].replace("-", "_")
        assert getattr(defaults, name) == keywords.get("default"), flag
        assert str(getattr(args, name)) in ("True", "[3]", *value(keywords)), flag


def test_defaults_differ_between_tasks():
    expected = {classification: (32, 32), detection: (32, 8), segmentation: (1, 1)}
    for task, (predicted, evaluated) in expected.items():
        for command, batch_size in (("predict", predicted), ("evaluate", evaluated)):
            args = argparse.Namespace(model=FILE)
            OPTIONS[command].complete(args, task)
            assert (args.size, args.batch_size) == (None, batch_size)  # the size is the model's


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as status:
        cli.main([*command, "--help"])
    assert status.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_the_tasks_of_an_option(command, capsys):
    text = help_of(capsys, command)
    assert all(flag in text for flag in OPTIONS[command].options) and "SUPPRESS" not in text
    assert "object detection: images are resized to fit in (default: the model's, else 640)" in text
    assert "for object detection: --confidence SHARE lowest confidence to be shown (default: 0.5)" in text
    assert text.index("for semantic segmentation:") < text.index("--multi-scale look at six sizes")


COMMON = ["--model", "--weights", "--epochs", "--batch-size", "--accumulate", "--learning-rate", "--image-size"]
COMMON += ["--drop-path", "--clip-norm", "--ema", "--devices", "--precision", "--seed", "--strict", "--resume"]
COMMON += ["--preview", "--remat", "--backup-every", "--token-mixer"]
OWN = {
    "classification": ["--data", "--data-dir", "--recipe"],
    "instances": [
        *("--annotations", "--images", "--val-annotations", "--val-images", "--invalid"),
        *("--channels", "--multi-scale"),
    ],
    "semantic": [
        *("--data", "--images", "--labels", "--val-images", "--val-labels", "--classes", "--ignore-ids"),
        "--channels",
    ],
}
SHOWN = {
    "classification": ["30 for finetune, 300 for paper", "0.0002 at 64 for finetune, 0.004 at 4096 for paper"],
    "instances": ["(default: 12)", "scaled with the batch size, 0.0001 at 16", "the long one at most 1333"],
    "semantic": ["(default: 127)", "tiny 0.3", "--channels N of the head (default: 512)"],
}


@pytest.mark.parametrize("task", OWN)
def test_help_of_a_training_has_its_own_options_and_their_defaults(task, capsys):
    text = help_of(capsys, "train", task)
    words = {word.strip("[](),.:") for word in text.split()}
    flags = {word for word in words if word.startswith("--")}
    assert flags == {*COMMON, *OWN[task], "--output", "--help"}
    assert all(part in text for part in SHOWN[task])
    assert {"classification", "instances", "semantic"} <= set(help_of(capsys, "train").split())


@pytest.mark.parametrize("task", OWN)
def test_a_training_refuses_options_of_others(task, capsys):
    needed = {"classification": ["--data", "x"], "instances": ["--annotations", "x", "--images", "x"], "semantic": []}
    for flag in {flag for flags in OWN.values() for flag in flags} - set(OWN[task]):
        assert cli.main(["train", task, *needed[task], flag, "1"]) == 1
        users = " and ".join(f"train {other}" for other, flags in OWN.items() if flag in flags)
        assert capsys.readouterr().err == f"keras-mambaout: error: {flag} is for {users}; this is train {task}.\n"
    with pytest.raises(SystemExit) as status:
        cli.main(["train", task, *needed[task], "--unknown", "1"])
    assert status.value.code == 2 and "unrecognized arguments: --unknown 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["train"], "required: TASK"),
        (["train", "classification"], "required: --data"),
        (["train", "instances"], "required: --annotations, --images"),
        (["predict"], "required: PHOTO"),
        (["predict", "photo.png", "--task", "detection"], "unrecognized arguments: --task"),
        (["compare", "--perturb", "torch:stem"], "unrecognized arguments: --perturb"),
    ],
)
def test_what_is_missing_or_unknown(arguments, message, capsys):
    with pytest.raises(SystemExit) as status:
        cli.main(arguments)
    assert status.value.code == 2 and message in capsys.readouterr().err


def test_a_plain_model_is_a_classifier_by_its_shapes():
    images, vectors = keras.Input((32, 32, 3)), keras.Input((4,))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    assert classification.fits(keras.Model(images, pooled))
    assert not classification.fits(keras.Model(vectors, vectors + 1))
    assert not classification.fits(keras.Model(images, images + 1))
    assert not classification.fits(keras.Model(images, [pooled, pooled]))
    assert not detection.fits(keras.Model(images, pooled)) and not segmentation.fits(keras.Model(images, pooled))
