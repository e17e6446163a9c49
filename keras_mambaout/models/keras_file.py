"""Loading a `.keras` file, which may be damaged or made by anyone."""

import contextlib
import functools
import io
import json
import math
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator

import h5py
import keras

from keras_mambaout.models.saved_config import check_config
from keras_mambaout.weights.archive import check_zip
from keras_mambaout.weights.files import warn_of_nan
from keras_mambaout.weights.hdf5 import list_arrays

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
SPARE = 10**6  # numbers that a model may have beyond twice those of its file
_loading = threading.RLock()


def load_keras_file(path: str) -> keras.Model:
    """Returns the model of a `.keras` file, not compiled. What is checked before Keras reads it:

    - The checksums of all parts, and that none is larger than it looks.
    - That the configuration names classes of Keras, KerasHub, KerasCV and this package, and registered ones, and
      neither modules to import nor files to open.
    - While the model is built, that it is not larger than the weights in the file.

    Raises:
        ValueError: If there is no such file, or it is damaged, or not as Keras writes it, or names what is not allowed.
        ImportError: If the library that the model was built with is not installed.
    """
    try:
        count = _check(path)
        with warnings.catch_warnings(), _at_most(2 * count + SPARE):
            # KerasHub's models compile themselves, with an optimizer that fits no file
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            warnings.filterwarnings("error", "Skipping nested container")  # or its layers would keep random weights
            model = keras.models.load_model(path, compile=False)
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds a {type(model).__name__}, which is no model")
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # Keras and h5py raise errors of many kinds
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(
            f"{path!r} is not a .keras file of a model that can be loaded, as `model.save(path)` writes it: "
            f"{kind}{str(error)[:1000]}"
        ) from error
    warn_of_nan(path, ((variable.path, variable.numpy()) for variable in model.weights))
    return model


def _check(path):
    """Raises what is wrong with a file; returns how many numbers its weights are."""
    if os.path.isfile(path) and not zipfile.is_zipfile(path):
        raise ValueError("it is no zip file, or cut off")
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        missing = {CONFIG, METADATA, WEIGHTS}.difference(archive.namelist())
        if missing:
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        for name in (METADATA, CONFIG):
            try:
                content = json.loads(archive.read(name))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"its {name} is no JSON ({type(error).__name__}: {error})") from error
        check_config(content)
        stream = archive.open(WEIGHTS)
        if archive.getinfo(WEIGHTS).compress_type != zipfile.ZIP_STORED:
            stream = io.BytesIO(stream.read())  # which is read back and forth
        with h5py.File(stream) as file:
            return sum(array.size for array in list_arrays(file))


@contextlib.contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Within this, layers that this thread builds have no more than `count` weights together.

    A configuration can ask for any number of layers of any size, of any class, so it is the making of weights that is
    counted, before memory is taken for them.
    """
    thread, made = threading.get_ident(), 0
    with _loading:
        original = keras.layers.Layer.add_weight

        @functools.wraps(original)
        def add_weight(self, *args, **kwargs):
            nonlocal made
            shape = kwargs.get("shape", args[0] if args else ())
            if threading.get_ident() == thread and isinstance(shape, list | tuple):
                made += math.prod(size for size in shape if isinstance(size, int))
                if made > count:
                    raise ValueError("its configuration describes a model with more weights than it holds")
            return original(self, *args, **kwargs)

        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = original
