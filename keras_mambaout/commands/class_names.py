"""The names of a model's classes, which it carries, or which a file has."""

import argparse
import json
import pathlib
import re

import keras

from keras_mambaout.files import read_text
from keras_mambaout.inference_settings import InferenceSettings, settings_of


def names_for(args: argparse.Namespace, model: keras.Model, num_classes: int, public: list[str]) -> list[str]:
    """Returns the names of a model's classes.

    Args:
        args: The options of the command, with the file of `--classes`, or `None`.
        model: The model of `--model`.
        num_classes: How many classes it has.
        public: Names of a public data set, for models with as many classes.

    Returns:
        The names in the file; without one those that the model carries, or `classes.txt` beside it has; else `public`,
        if there are as many; else numbers.

    Raises:
        ValueError: If the file cannot be read or has another number of names.
    """
    if args.classes is not None:
        names, _ = read_names(args.classes)
        if len(names) != num_classes:
            raise ValueError(f"--classes {args.classes!r} has {len(names)} names, the model has {num_classes} classes.")
        return names
    known = known_names(args.model, model) or public
    return known if len(known) == num_classes else [str(number) for number in range(num_classes)]


def known_names(path: str, model: keras.Model) -> list[str] | None:
    """Returns the names that a model carries, or those in `classes.txt` beside its file, if there are any.

    The file is for models of other classes than this package's, which carry nothing; `train` writes it for all.
    """
    carried = settings_of(model, InferenceSettings).class_names
    if carried:
        return list(carried)
    file = pathlib.Path(path).with_name("classes.txt")
    return file.read_text(encoding="utf-8").splitlines() if path.endswith(".keras") and file.is_file() else None


def read_names(path: str) -> tuple[list[str], list[int] | None]:
    """Returns the names in a file, and their numbers if its lines are `number: name`, else `None`.

    Args:
        path: Text file with one name per line, or with `number: name`; or a JSON file in COCO's format.

    Raises:
        ValueError: If there is no such file, or it has another format.
    """
    try:
        text = read_text(path)
        if path.endswith(".json"):
            categories = sorted(json.loads(text)["categories"], key=lambda category: category["id"])
            return [category["name"] for category in categories], None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"--classes {path!r} is neither a text file of names nor a JSON file in COCO's format: {error}"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*:\s*(.+)", line) for line in lines]
    if not all(numbered):
        return lines, None
    return [match[2] for match in numbered], [int(match[1]) for match in numbered]
