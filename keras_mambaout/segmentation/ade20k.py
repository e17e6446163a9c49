"""The classes of ADE20K."""

import importlib.resources


def ade20k_classes() -> tuple[list[str], list[tuple[int, int, int]]]:
    """Returns the names of ADE20K's 150 classes and the colours they are shown in, a list of RGB triples.

    Two classes, road and skyscraper, have the same colour.
    """
    text = importlib.resources.files("keras_mambaout.segmentation").joinpath("ade20k_classes.txt").read_text()
    rows = [line.split(" ", 1) for line in text.splitlines()]
    return [name for _, name in rows], [tuple(bytes.fromhex(color)) for color, _ in rows]
