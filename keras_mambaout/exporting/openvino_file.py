"""OpenVINO's `.xml` and `.bin`, from ONNX."""

import pathlib
import tempfile

from keras_mambaout.exporting.graph import InferenceGraph, Signature
from keras_mambaout.exporting.onnx_file import write_onnx_file
from keras_mambaout.extras import import_extra


def write_openvino_file(graph: InferenceGraph, signature: Signature, path: str) -> None:
    """Writes a `.xml` file, and its `.bin`."""
    openvino = import_extra("openvino", "serve-openvino")
    with tempfile.TemporaryDirectory() as folder:
        onnx_path = str(pathlib.Path(folder) / "model.onnx")
        write_onnx_file(graph, signature, onnx_path)
        model = openvino.convert_model(onnx_path)
        openvino.save_model(model, path, compress_to_fp16=False)
