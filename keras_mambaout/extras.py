"""What data sets and their evaluation need beyond the core: optional packages and a progress bar.

TensorFlow is such a package: `CocoDataset.batches` asks for it here, and what runs in its graphs imports
it where it is used, so that `import keras_mambaout` does without it.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import keras


def import_extra(module: str, extra: str = "detection") -> ModuleType:
    """Returns an imported optional package; where it is missing, the error names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'This needs {module}, which is missing: pip install "keras-mambaout[{extra}]"') from error


def import_tensorflow() -> ModuleType:
    """Returns TensorFlow; where it only reads data, it leaves the GPU to the backend."""
    tensorflow = import_extra("tensorflow")
    if keras.config.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # too late: TensorFlow has started already
            tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow


def progress_bar(total: int | None, verbose: str | int, unit: str) -> Callable[[int], None]:
    """Returns a `keras.utils.Progbar` of `total` steps, silent unless `verbose` or, with "auto", a terminal asks."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"`verbose` must be 'auto', 0 (silent) or 1 (progress bar), got {verbose!r}.")
    verbose = int(sys.stdout.isatty()) if verbose == "auto" else int(verbose)
    bar = keras.utils.Progbar(total, verbose=max(verbose, 1), unit_name=unit)
    return bar.update if verbose and total else lambda step: None
