"""The command line: `keras-mambaout predict`, `evaluate`, `train`, `export`, `compare`, `push` and `list`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from keras_mambaout import backend

if backend.MISSING is not None:
    sys.exit(f"keras-mambaout: error: {backend.MISSING}")

from keras_mambaout.commands import classification, compare, detection, export, list, push, segmentation
from keras_mambaout.commands.tasks import TaskOptions, open_model
from keras_mambaout.commands.values import text
from keras_mambaout.share import UploadError
from keras_mambaout.weights.hub import DownloadError

TASKS = (classification, detection, segmentation)
INTERRUPTED = 128 + 2  # as a shell reports a process that SIGINT ended
MODEL_COMMANDS = {  # those that take the task from the model
    "predict": "name what photos show, find objects and masks in them, or label their pixels",
    "evaluate": "measure a model on a data set",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What follows `keras-mambaout`; default the arguments of the process.

    Returns:
        The exit status: 0, or 1 after a one-line error or if backends disagree, or 130 after Ctrl-C.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    try:
        parser = make_parser()
        args, unknown = parser.parse_known_args(arguments)
        if unknown:
            _check_training_options(args, unknown)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        status = args.run(args)
    except (ValueError, DownloadError, UploadError, ImportError) as error:
        print(f"keras-mambaout: error: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:  # a training says what it leaves
        print(f"keras-mambaout: interrupted{f': {interrupt}' if interrupt.args else ''}.", file=sys.stderr)
        return INTERRUPTED
    return status or 0


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that takes options by their full names and no empty texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False)
        self.register("type", None, text)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {_one_line(message)} (see {self.prog} --help)\n")


def make_parser() -> Parser:
    """Returns the parser of all commands: each asks the tasks for their options."""
    parser = Parser(
        prog="keras-mambaout",
        description="MambaOut for Keras 3. The environment variable KERAS_BACKEND chooses tensorflow, jax or torch.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, help_text in MODEL_COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if name == "predict":
            command.add_argument("images", nargs="+", metavar="PHOTO", help="image file")
        command.add_argument(
            "--model",
            default="mambaout_tiny",
            help="classifier of `keras-mambaout list`, .keras file, hf://user/repo, or an exported model "
            "(default: %(default)s)",
        )
        command.add_argument("--json", action="store_true", help="print JSON instead of text")
        options = TaskOptions(name, TASKS)
        options.add_to(command)
        command.set_defaults(run=_run_model, command=name, options=options)

    train = commands.add_parser("train", help="train a model by a recipe, on your own images")
    trainings = train.add_subparsers(required=True, metavar="TASK")
    for task in TASKS:
        training = trainings.add_parser(
            task.TRAINING, help=task.train.__doc__.rstrip("."), description=task.train.__doc__
        )
        task.add_arguments("train", training)
        training.set_defaults(run=task.train, training=task.TRAINING, trainings=trainings.choices)

    for name, module in (("export", export), ("compare", compare), ("push", push), ("list", list)):
        command = commands.add_parser(name, help=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _check_training_options(args, unknown):
    """Raises an error for an option that other tasks' trainings have, and this one has not."""
    for flag in (part.partition("=")[0] for part in unknown if part.startswith("--")):
        users = [
            name for name, parser in getattr(args, "trainings", {}).items() if flag in parser.format_help().split()
        ]
        if users:
            raise ValueError(f"{flag} is for train {' and train '.join(users)}; this is train {args.training}.")


def _one_line(message):
    return " ".join(str(message).splitlines())


def _run_model(args):
    """Predicts or evaluates with the model that was named, as its task does it."""
    task, model = open_model(args.model, TASKS)
    args.options.complete(args, task)
    getattr(task, args.command)(args, model)


if __name__ == "__main__":
    sys.exit(main())
