"""Imports Keras with its backend; where that is missing or unknown, one sentence says what to do.

It is imported before everything else. The command line ends with the sentence, anything else gets an `ImportError`.
"""

import os
import pathlib
import sys

BACKENDS = ("tensorflow", "jax", "torch")


def advice(error: Exception) -> str | None:
    """Returns what to do about an error of `import keras`, `None` if it has nothing to do with the backend."""
    chosen = os.environ.get("KERAS_BACKEND")
    missing = getattr(error, "name", None)
    if missing in BACKENDS:
        reason = f"KERAS_BACKEND is {chosen!r}" if chosen else f"KERAS_BACKEND is not set, so Keras takes {missing}"
        return (
            f'{reason}, and {missing} is not installed: pip install "keras-mambaout[{missing}]", or set KERAS_BACKEND '
            "to the backend that is."
        )
    if isinstance(error, ValueError) and chosen and chosen not in BACKENDS:
        return f"KERAS_BACKEND must be {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}, got {chosen!r}."
    return None


def is_command_line() -> bool:
    """Whether this process is `keras-mambaout` or `python -m keras_mambaout`."""
    program = pathlib.Path(sys.argv[0]).stem
    return program == "keras-mambaout" or (program == "-m" and "keras_mambaout" in sys.orig_argv)


try:
    import keras  # noqa: F401
except (ImportError, ValueError) as error:
    sentence = advice(error)
    if sentence is None:
        raise
    if is_command_line():
        sys.exit(f"keras-mambaout: error: {sentence}")
    raise ImportError(sentence) from None
