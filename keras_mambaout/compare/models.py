"""Which models can be compared: how they are built, their losses, and the outputs of their layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import create_model
from keras_mambaout.models.saved import load_model, names_saved_model


def build_model(model: str, input_shape: Sequence[int]) -> keras.Model:
    """Builds a model with random weights, or loads a saved one.

    Args:
        model: A name of `list_models()`, built with logits as output; a model of
            `keras.applications`, such as `"ConvNeXtTiny"`; the path of a `.keras` file; or `"hf://user/repo"`.
        input_shape: `(H, W, 3)`, the shape of one image.

    Raises:
        ValueError: If there is no such model.
    """
    if names_saved_model(model):
        return _network(load_model(model))
    if model in VARIANTS:
        return create_model(model, weights=None, input_shape=tuple(input_shape), classifier_activation=None)
    application = getattr(keras.applications, model, None)
    if application is None or not model[0].isupper():
        raise ValueError(
            f"There is no model {model!r}: give one of {', '.join(VARIANTS)}, a model of keras.applications "
            "such as ConvNeXtTiny, the path of a .keras file, or hf://user/repo."
        )
    return application(weights=None, input_shape=tuple(input_shape), classifier_activation=None)


def _network(model):
    """Returns the network of a detector, from images to its heads; any other model as it is."""
    if not hasattr(model, "bounding_box_format"):
        return model
    return keras.Model(model.inputs[0], model.output, name=model.name)


def loss_and_targets(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> tuple[keras.losses.Loss, Any]:
    """Returns the loss a model is trained with, and its targets.

    A classifier, which has one output `(B, classes)`, gets the cross entropy with `labels` modulo
    `classes`. Any other model gets the mean squared error of each of its outputs and random targets
    (with targets of zero, the gradient of a normalised output would be rounding errors alone).
    """
    outputs = model.predict_on_batch(images)
    if isinstance(outputs, np.ndarray) and outputs.ndim == 2:
        probabilities = outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
        return loss, labels % outputs.shape[-1]
    rng = np.random.default_rng(0)
    targets = keras.tree.map_structure(lambda output: rng.normal(size=output.shape).astype("float32"), outputs)
    return keras.losses.MeanSquaredError(), targets


def layer_outputs(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns `{"001 stem": array, ...}`: the output of each layer, in the model's order, in float32.

    Of a model that is not functional, only its outputs are there.
    """
    if not getattr(model, "operations", None):
        names, outputs = [model.name], [model.predict_on_batch(images)]
    else:
        names, tensors = [], []

        def call(layer, *args, **kwargs):
            output = layer(*args, **kwargs)
            names.append(layer.name)
            tensors.append(output)
            return output

        graph = keras.models.clone_model(model, call_function=call, clone_function=lambda layer: layer)
        outputs = keras.Model(graph.inputs, tensors).predict_on_batch(images)
    arrays = {}
    for index, (name, output) in enumerate(zip(names, outputs, strict=True), start=1):
        parts = keras.tree.flatten(output)
        for part, array in enumerate(parts):
            suffix = f" {part}" if len(parts) > 1 else ""
            arrays[f"{index:03d} {name}{suffix}"] = np.asarray(array, "float32")
    return arrays


def total_loss(loss: Callable[[Any, Any], Any], targets: Any, outputs: Any) -> Any:
    """Returns the scalar that `fit` minimises: the sum of the loss over all outputs."""
    pairs = zip(keras.tree.flatten(targets), keras.tree.flatten(outputs), strict=True)
    return sum(loss(target, output) for target, output in pairs)
