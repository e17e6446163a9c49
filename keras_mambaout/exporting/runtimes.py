"""Running an exported file in its own runtime: each class takes arrays by name and gives arrays by name."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mambaout.exporting.formats import FORMATS
from keras_mambaout.extras import import_extra

Arrays = Mapping[str, np.ndarray]


class OnnxRuntime:
    """A `.onnx` file in ONNX Runtime.

    Args:
        path: Path of the file.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        threads: Threads of an operation; `None` leaves it to the runtime.
    """

    def __init__(self, path: str, inputs: list[str], outputs: list[str], threads: int | None = None):
        onnxruntime = _import("onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = outputs

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(arrays)), strict=True))


class OpenVino:
    """An OpenVINO model, `.xml` with `.bin` beside it. Arguments as for `OnnxRuntime`."""

    def __init__(self, path: str, inputs: list[str], outputs: list[str], threads: int | None = None):
        options = {"INFERENCE_PRECISION_HINT": "f32"}  # or what it finds fastest, which may be bfloat16
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        self._model = _import("openvino").Core().compile_model(path, "CPU", options)
        self._outputs = outputs

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        found = self._model(dict(arrays))
        return {name: np.array(found[name]) for name in self._outputs}


class LiteRT:
    """A `.tflite` file in LiteRT. Arguments as for `OnnxRuntime`."""

    def __init__(self, path: str, inputs: list[str], outputs: list[str], threads: int | None = None):
        _import("litert")
        interpreter = import_extra("ai_edge_litert.interpreter", FORMATS["litert"].extra)
        self._runner = interpreter.Interpreter(path, num_threads=threads).get_signature_runner()
        self._outputs = outputs

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        found = self._runner(**arrays)
        return {name: found[name].copy() for name in self._outputs}


class SavedModel:
    """A folder of TensorFlow's. Arguments as for `OnnxRuntime`."""

    def __init__(self, path: str, inputs: list[str], outputs: list[str], threads: int | None = None):
        self._tensorflow = _import("saved_model")
        if threads is not None:
            self._tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        self._model = self._tensorflow.saved_model.load(path)
        self._call, self._outputs = self._model.signatures["serving_default"], outputs

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        found = self._call(**{name: self._tensorflow.constant(array) for name, array in arrays.items()})
        return {name: found[name].numpy() for name in self._outputs}


class TorchProgram:
    """A program of `torch.export`, `.pt2`. Arguments as for `OnnxRuntime`."""

    def __init__(self, path: str, inputs: list[str], outputs: list[str], threads: int | None = None):
        self._torch = _import("torch")
        if threads is not None:
            self._torch.set_num_threads(threads)
        self._module = self._torch.export.load(path).module()
        self._inputs, self._outputs = inputs, outputs

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        with self._torch.inference_mode():
            found = self._module(*(self._torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in self._inputs))
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, found, strict=True)}


RUNTIMES = {
    "onnx": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRT,
    "saved_model": SavedModel,
    "torch": TorchProgram,
}


def open_file(folder: str | os.PathLike, manifest: Mapping[str, Any], threads: int | None = None) -> Any:
    """Returns the runtime of an exported file.

    Raises:
        ImportError: If the runtime is not installed.
        ValueError: If it does not take the file.
    """
    path = os.path.join(folder, manifest["file"])
    try:
        return RUNTIMES[manifest["format"]](path, list(manifest["inputs"]), list(manifest["outputs"]), threads)
    except ImportError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{path!r} cannot be opened by {FORMATS[manifest['format']].runtime}: {error}") from error


def _import(name):
    return import_extra(FORMATS[name].runtime, FORMATS[name].extra)
