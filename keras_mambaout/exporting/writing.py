"""Writing a format, by a process with another backend where it needs one.

KERAS_BACKEND=torch python -m keras_mambaout.exporting.writing MODEL.keras FORMAT BATCH_SIZE HEIGHT WIDTH PATH
"""

import importlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import keras

from keras_mambaout.backend import NAME
from keras_mambaout.exporting.formats import FORMATS
from keras_mambaout.exporting.graph import InferenceGraph
from keras_mambaout.models.saved import load_model

FREE = "free"  # an axis, on the command line
WRITERS = {  # modules that import a backend
    "onnx": ("onnx_file", "write_onnx_file"),
    "openvino": ("openvino_file", "write_openvino_file"),
    "litert": ("litert_file", "write_litert_file"),
    "saved_model": ("saved_model", "write_saved_model"),
    "torch": ("torch_program", "write_torch_program"),
}


def write(
    model: keras.Model, name: str, batch_size: int | None, size: tuple[int | None, int | None], path: str
) -> None:
    """Writes a model in a format.

    Args:
        model: A model of this package.
        name: Name of the format.
        batch_size: Images at a time, `None` for any number.
        size: Height and width, `None` for any.
        path: Of the file or folder.

    Raises:
        ImportError: If the backend of the format, or a package that it needs, is not installed.
        ValueError: If the format's converter fails.
    """
    if FORMATS[name].backend == NAME:
        _write_here(model, name, batch_size, size, path)
        return
    backend = FORMATS[name].backend
    if importlib.util.find_spec(backend) is None:
        raise ImportError(
            f'The format {name} is written by {backend}, which is missing: pip install "keras-mambaout[{backend}]"'
        )
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "model.keras")
        model.save(file)
        axes = [FREE if axis is None else str(axis) for axis in (batch_size, *size)]
        command = [sys.executable, "-m", __name__, file, name, *axes, path]
        run_process(command, {"KERAS_BACKEND": backend})


def run_process(command: list[str], variables: dict[str, str]) -> None:
    """Runs a process of this package; its last line on standard error is the error that it ends with.

    Raises:
        ValueError: If it fails.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise ValueError(lines[-1] if lines else f"{command[2]} ended with exit status {result.returncode}.")


def _write_here(model, name, batch_size, size, path):
    module, function = WRITERS[name]
    writer = getattr(importlib.import_module(f"keras_mambaout.exporting.{module}"), function)
    graph = InferenceGraph(model)
    try:
        writer(graph, graph.signature(batch_size, size), path)
    except ImportError:
        raise
    except Exception as error:  # converters have errors of their own, of many lines
        reason = str(error).strip().splitlines() or [""]
        raise ValueError(f"This model cannot be written as {name}: {type(error).__name__}: {reason[0]}") from error


if __name__ == "__main__":
    model_path, format_name, *axes, output = sys.argv[1:]
    free, *sides = (None if axis == FREE else int(axis) for axis in axes)
    try:
        write(load_model(model_path), format_name, free, tuple(sides), output)
    except (ValueError, ImportError) as message:
        sys.exit(str(message))
