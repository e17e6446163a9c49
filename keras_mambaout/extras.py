"""What data sets and their evaluation need beyond the core: optional packages.

TensorFlow is such a package: `CocoDataset.batches` asks for it here, and what runs in its graphs imports
it where it is used, so that `import keras_mambaout` does without it.
"""

import contextlib
import importlib
from types import ModuleType

from keras_mambaout.backend import NAME


def import_extra(module: str, extra: str = "detection") -> ModuleType:
    """Returns an imported optional package; where it is missing, the error names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'This needs {module}, which is missing: pip install "keras-mambaout[{extra}]"') from error


def import_tensorflow() -> ModuleType:
    """Returns TensorFlow; where it only reads data, it leaves the GPU to the backend."""
    tensorflow = import_extra("tensorflow")
    if NAME != "tensorflow":
        with contextlib.suppress(RuntimeError):  # too late: TensorFlow has started already
            tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow
