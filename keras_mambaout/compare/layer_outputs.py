"""The outputs of a model's layers, in the model's order."""

from typing import Any

import keras
import numpy as np

from keras_mambaout.compare.tasks import Task


def layer_outputs(task: Task, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns `{"001 stem": array, ...}`: the outputs of the layers of the task's network and of what follows it.

    Arrays are float32. Where there are several in one place, the name says which: `"042 rpn_head logits/0"`.
    """
    names, tensors = [], []

    def call(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        names.append(layer.name)
        tensors.append(output)
        return output

    graph = keras.models.clone_model(task.network, call_function=call, clone_function=lambda layer: layer)
    layers, parts = _Parts(task, keras.Model(graph.inputs, [tensors, graph.output])).predict_on_batch(images)
    arrays = {}
    outputs = zip([*names, *task.part_names], [*layers, *parts], strict=True)
    for index, (name, output) in enumerate(outputs, start=1):
        for path, array in keras.tree.flatten_with_path(output):
            which = " " + "/".join(map(str, path)) if path else ""
            arrays[f"{index:03d} {name}{which}"] = np.asarray(array, "float32")
    return arrays


class _Parts(keras.Model):
    """The layers of a network and what follows it, as one model that is compiled as a whole."""

    def __init__(self, task, graph):
        super().__init__(autocast=False, name="parts")
        self.task, self.model, self.graph = task, task.model, graph
        self.built = True

    def call(self, images: Any) -> tuple[Any, Any]:
        layers, features = self.graph(images)
        return layers, self.task.parts(images, features)
