"""The names of a model's classes, from files that users write."""

import json
import os
import pathlib
import re


def names_for(path: str | None, num_classes: int, known: list[str]) -> list[str]:
    """Returns the names of the classes of a saved model.

    Args:
        path: File of `--classes`, or `None`.
        num_classes: How many classes the model has.
        known: Names of a public data set, for models with as many classes.

    Returns:
        The names in the file; without one `known`, if there are as many, else numbers.

    Raises:
        ValueError: If the file cannot be read or has another number of names.
    """
    if path is not None:
        names, _ = read_names(path)
        if len(names) != num_classes:
            raise ValueError(f"--classes {path!r} has {len(names)} names, the model has {num_classes} classes.")
        return names
    return known if len(known) == num_classes else [str(number) for number in range(num_classes)]


def names_beside(model: str) -> list[str] | None:
    """Returns the names in `classes.txt` beside a `.keras` file, as a training writes it; `None` if there is none."""
    path = os.path.join(os.path.dirname(model), "classes.txt")
    if not model.endswith(".keras") or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def read_names(path: str) -> tuple[list[str], list[int] | None]:
    """Returns the names in a file, and their numbers if its lines are `number: name`, else `None`.

    Args:
        path: Text file with one name per line, or with `number: name`; or a JSON file in COCO's format.

    Raises:
        ValueError: If there is no such file, or it has another format.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
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
