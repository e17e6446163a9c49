"""The formats that a model can leave Keras in."""

import dataclasses
from typing import Any

from keras_mambaout.arguments import check_choice

DYNAMIC = "dynamic"  # any size, any number of images


@dataclasses.dataclass(frozen=True)
class Format:
    """What is known of a format.

    Args:
        file: Name of the file or folder that holds the model.
        backend: The backend that writes it; on the others, a process with this backend does.
        runtime: Package that runs it.
        extra: Extra of this package that brings the runtime.
    """

    file: str
    backend: str
    runtime: str
    extra: str


FORMATS = {
    "onnx": Format("model.onnx", "torch", "onnxruntime", "serve-onnx"),
    "openvino": Format("model.xml", "torch", "openvino", "serve-openvino"),
    "litert": Format("model.tflite", "tensorflow", "ai_edge_litert", "serve-litert"),
    "saved_model": Format("model", "tensorflow", "tensorflow", "tensorflow"),
    "torch": Format("model.pt2", "torch", "torch", "torch"),
}


def check_format(name: Any) -> Format:
    """Returns the format of a name."""
    check_choice("format", name, tuple(FORMATS))
    return FORMATS[name]
