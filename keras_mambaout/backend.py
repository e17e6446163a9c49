"""Imports Keras with its backend; where that is missing or unknown, one sentence says what to do.

It is imported before everything else. Without a backend, exported models still run (`load_exported`); all else raises
an `ImportError` with the sentence when it is used first, and the command line ends with it.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

BACKENDS = ("tensorflow", "jax", "torch")


def advice(error: Exception) -> str | None:
    """Returns what to do about an error of `import keras`, `None` if it has nothing to do with the backend."""
    chosen = os.environ.get("KERAS_BACKEND")
    missing = getattr(error, "name", None)
    if missing == "keras":
        return "Keras is not installed: pip install keras, and a backend."
    if missing in BACKENDS:
        reason = f"KERAS_BACKEND is {chosen!r}" if chosen else f"KERAS_BACKEND is not set, so Keras takes {missing}"
        return (
            f'{reason}, and {missing} is not installed: pip install "keras-mambaout[{missing}]", or set KERAS_BACKEND '
            "to the backend that is."
        )
    if isinstance(error, ValueError) and chosen and chosen not in BACKENDS:
        return f"KERAS_BACKEND must be {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}, got {chosen!r}."
    return None


def says_what_is_missing(package: str) -> Callable[[str], Any]:
    """Returns a `__getattr__` for a package of which, without a backend, most names are missing."""

    def __getattr__(name):
        if MISSING is None or name not in sys.modules[package].__all__:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        raise ImportError(MISSING)

    return __getattr__


MISSING: str | None = None  # the sentence
NAME: str | None = None  # of the backend
try:
    import keras
except (ImportError, ValueError) as error:
    MISSING = advice(error)
    if MISSING is None:
        raise
else:
    NAME = keras.config.backend()
