"""TensorFlow's SavedModel, a folder."""

import contextlib
import io

import keras
import tensorflow as tf

from keras_mambaout.exporting.graph import InferenceGraph, Signature


def write_saved_model(graph: InferenceGraph, signature: Signature, path: str) -> None:
    """Writes a folder, with the signature `serving_default`."""
    specs = [tf.TensorSpec(shape, signature.dtype(name), name) for name, shape in signature.inputs.items()]
    archive = keras.export.ExportArchive()
    archive.track(graph)
    archive.add_endpoint("serving_default", graph.call, specs)
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(path, verbose=False)
