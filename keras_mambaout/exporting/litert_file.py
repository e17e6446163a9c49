"""LiteRT's `.tflite`, from a SavedModel."""

import pathlib
import tempfile

import tensorflow as tf

from keras_mambaout.exporting.graph import InferenceGraph, Signature
from keras_mambaout.exporting.saved_model import write_saved_model


def write_litert_file(graph: InferenceGraph, signature: Signature, path: str) -> None:
    """Writes a `.tflite` file."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(graph, signature, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        pathlib.Path(path).write_bytes(converter.convert())
