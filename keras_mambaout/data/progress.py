"""A bar that shows how far an evaluation is."""

import sys
from collections.abc import Callable

import keras


def progress_bar(total: int | None, verbose: str | int, unit: str) -> Callable[[int], None]:
    """Returns a `keras.utils.Progbar` of `total` steps, silent unless `verbose` or, with "auto", a terminal asks."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"`verbose` must be 'auto', 0 (silent) or 1 (progress bar), got {verbose!r}.")
    verbose = int(sys.stdout.isatty()) if verbose == "auto" else int(verbose)
    bar = keras.utils.Progbar(total, verbose=max(verbose, 1), unit_name=unit)
    return bar.update if verbose and total else lambda step: None
