"""ONNX, by PyTorch's exporter: exact, and for any batch size, height and width."""

import contextlib
import io
import logging
import warnings

import torch

from keras_mambaout.exporting.graph import InferenceGraph, Signature
from keras_mambaout.exporting.torch_program import trace
from keras_mambaout.extras import import_extra


def write_onnx_file(graph: InferenceGraph, signature: Signature, path: str) -> None:
    """Writes a `.onnx` file."""
    import_extra("onnxscript", "export")
    program = _without_squeezes(trace(graph, signature))
    talk = contextlib.redirect_stdout(io.StringIO())
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    with warnings.catch_warnings(), talk:
        warnings.simplefilter("ignore")
        names = {"input_names": list(signature.inputs), "output_names": list(signature.outputs)}
        torch.onnx.export(program, dynamo=True, verbose=False, **names).save(path)


def _without_squeezes(program):
    """Takes out what Keras' `take` puts after PyTorch's: it has no effect there, and ONNX refuses it at other sizes."""
    graph, aten = program.graph_module.graph, torch.ops.aten
    for node in list(graph.nodes):
        if node.target is aten.squeeze.dim and getattr(node.args[0], "target", None) is aten.index_select.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    program.graph_module.recompile()
    return program
