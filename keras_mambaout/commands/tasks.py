"""The task that a model is for, and the options that belong to it."""

import argparse
from types import ModuleType
from typing import Any

import keras

from keras_mambaout.config import VARIANTS
from keras_mambaout.exporting import load_exported
from keras_mambaout.exporting.loading import names_exported
from keras_mambaout.models.saved import load_model, names_saved_model


def open_model(name: str, tasks: tuple[ModuleType, ...]) -> tuple[ModuleType, keras.Model | None]:
    """Returns the task of a model and, unless `name` is a variant's, the saved model.

    Args:
        name: Name of a variant, which is a classifier, an address for `load_model`, or the path of an exported model.
        tasks: The modules of the tasks, first classification, which is asked last: it takes what no other task does.

    Raises:
        ValueError: If there is no such model or file, or its model is for none of the tasks.
        DownloadError: If a repository of the hub has no model, or it cannot be downloaded.
    """
    if name in VARIANTS:
        return tasks[0], None
    if names_exported(name):
        model = load_exported(name)
    elif names_saved_model(name):
        model = load_model(name)
    else:
        raise ValueError(
            f"Unknown model {name!r}: give one of {', '.join(VARIANTS)}, the path of a .keras file, or hf://user/repo, "
            "or the folder of an exported model."
        )
    for task in (*tasks[1:], tasks[0]):
        if task.fits(model):
            return task, model
    raise ValueError(
        f"{name!r} holds a {type(model).__name__}. It must hold {', '.join(task.MODEL for task in tasks[:-1])} or "
        f"{tasks[-1].MODEL}."
    )


class TaskOptions:
    """The options of a command that takes its task from the model: those of all tasks in one parser.

    Tasks declare them by `add_arguments(command, parser)`, as if the parser were theirs alone. An option that several
    tasks declare is one option, and its help says what it means for each of them.

    Args:
        command: Name of the command.
        tasks: The modules of the tasks.
    """

    def __init__(self, command: str, tasks: tuple[ModuleType, ...]) -> None:
        self.tasks = tasks
        self.options: dict[str, dict[ModuleType, dict[str, Any]]] = {}  # flag -> task -> keywords of the option
        for task in tasks:
            task.add_arguments(command, _Declarations(self.options, task))

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options to a parser, in a group for each set of tasks that use them."""
        groups = {self.tasks: parser}
        for flag, uses in self.options.items():
            tasks = tuple(uses)
            if tasks not in groups:
                groups[tasks] = parser.add_argument_group(f"for {_names(tasks)}")
            keywords = dict(next(iter(uses.values())), default=argparse.SUPPRESS, help=_help(uses))
            groups[tasks].add_argument(flag, **keywords)

    def complete(self, args: argparse.Namespace, task: ModuleType) -> None:
        """Fills in the defaults of a task.

        Raises:
            ValueError: If an option was given that the task does not use.
        """
        for flag, uses in self.options.items():
            name = flag.lstrip("-").replace("-", "_")
            if task in uses:
                vars(args).setdefault(name, uses[task].get("default"))
            elif name in vars(args):
                raise ValueError(f"{flag} is for {_names(tuple(uses))}; {args.model} is {task.MODEL}.")


class _Declarations:
    """Collects what a task declares, with the interface of a parser."""

    def __init__(self, options, task):
        self.options, self.task = options, task

    def add_argument(self, flag, **keywords):
        if keywords.get("action") == "store_true":
            keywords["default"] = False
        keywords["help"] = keywords["help"].replace("%(default)s", str(keywords.get("default")))
        self.options.setdefault(flag, {})[self.task] = keywords


def _names(tasks):
    return " and ".join(task.NAME for task in tasks)


def _help(uses):
    """Returns the help of an option: one text for all tasks, or each text with the tasks that it is for."""
    tasks_of = {}
    for task, keywords in uses.items():
        tasks_of.setdefault(keywords["help"], []).append(task.NAME)
    if len(tasks_of) == 1:
        return next(iter(tasks_of))
    return "; ".join(f"{', '.join(tasks)}: {text}" for text, tasks in tasks_of.items())
