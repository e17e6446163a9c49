"""PyTorch's program, `.pt2`: operations and weights, which `torch.export.load` reads without the code of the model."""

import warnings
from typing import Any

import keras
import torch

from keras_mambaout.exporting.graph import InferenceGraph, Signature

SIDES = {0: 2, 1: 416, 2: 480}  # of the example that is traced where an axis is free: no side of any feature is 1


class Call(torch.nn.Module):
    """A graph as a module that takes and returns tensors in the signature's order."""

    def __init__(self, graph: InferenceGraph, names: tuple[str, ...]):
        super().__init__()
        self.inference, self.names = graph, names  # `graph` is a name of torch.fx

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.inference.call(*tensors)
        return tuple(found[name] for name in self.names)


def trace(graph: InferenceGraph, signature: Signature) -> Any:
    """Returns a graph as a `torch.export.ExportedProgram`."""
    with keras.device("cpu"):
        examples = tuple(signature.examples(SIDES).values())
    free = [
        {axis: torch.export.Dim.DYNAMIC for axis, side in enumerate(shape) if side is None}
        for shape in signature.inputs.values()
    ]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        call = Call(graph, signature.outputs).eval()
        return torch.export.export(call, examples, strict=False, dynamic_shapes=(tuple(free),))


def write_torch_program(graph: InferenceGraph, signature: Signature, path: str) -> None:
    """Writes a `.pt2` file."""
    torch.export.save(trace(graph, signature), path)
