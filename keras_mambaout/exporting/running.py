"""Runs an exported model in a process of its own, which has neither Keras nor a backend.

KERAS_BACKEND=none python -m keras_mambaout.exporting.running FOLDER INPUTS.npz OUTPUTS.npz
"""

import statistics
import sys
import time

import numpy as np

from keras_mambaout.exporting.loading import load_exported

NO_BACKEND = "none"
ROUNDS = 5


def main(folder: str, inputs: str, outputs: str) -> None:
    """Computes each batch of `INPUTS`, named `0/images`, `1/images`, ..., and the median of the seconds for the first.

    The outputs are named `0/probabilities` and so on, and `seconds`.
    """
    model = load_exported(folder)
    batches: dict[str, dict[str, np.ndarray]] = {}
    for name, array in np.load(inputs).items():
        number, _, part = name.partition("/")
        batches.setdefault(number, {})[part] = array
    found = {}
    for number, batch in batches.items():
        for name, array in model.run(batch).items():
            found[f"{number}/{name}"] = array
    seconds = [timed(lambda: model.run(batches["0"])) for _ in range(ROUNDS)]
    np.savez(outputs, seconds=statistics.median(seconds), **found)


def timed(function) -> float:
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (ValueError, ImportError) as message:
        sys.exit(str(message))
