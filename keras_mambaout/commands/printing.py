"""What commands print and write."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Prints JSON, with `null` instead of NaN."""
    print(json.dumps(_without_nan(value), indent=2))


def print_unreadable(dataset: Any) -> None:
    """Prints which images of a data set were left out, if any."""
    if dataset.unreadable:
        print(f"{len(dataset.unreadable)} unreadable images were left out: {', '.join(dataset.unreadable)}")


def unused_name(name: str, taken: set[str]) -> str:
    """Returns a file name that no other photo of this run has, and adds it to `taken`."""
    number = 1
    while (unique := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    taken.add(unique)
    return unique


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if value != value else value
