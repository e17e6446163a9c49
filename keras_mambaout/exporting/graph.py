"""What is exported of a model: a graph of images to named arrays, as `predict` computes them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mambaout.detection.rcnn.model import MaskRCNN
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.scores import gives_logits
from keras_mambaout.segmentation.uper.model import UperNet

DETECTIONS = ("boxes", "confidence", "classes", "masks", "num_detections")


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph.

    Args:
        inputs: Shape of each input, `None` for what is free.
        outputs: Names of the outputs.
    """

    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]

    def dtype(self, name: str) -> str:
        """Returns the dtype of an input."""
        return "int32" if name == "sizes" else "float32"

    def examples(self, free: Mapping[int, int]) -> dict[str, Any]:
        """Returns inputs of ones; `free` has the side of each free axis."""
        shapes = {
            name: [free[axis] if side is None else side for axis, side in enumerate(shape)]
            for name, shape in self.inputs.items()
        }
        return {name: ops.ones(shape, self.dtype(name)) for name, shape in shapes.items()}


def task_of(model: keras.Model) -> str:
    """Returns the task of a model that can be exported.

    Raises:
        ValueError: If it is no model of this package.
    """
    kinds = {
        MambaOutClassifier: "classification",
        MaskRCNN: "detection",
        UperNet: "segmentation",
        MambaOutBackbone: "features",
    }
    for kind, task in kinds.items():
        if isinstance(model, kind):
            return task
    names = ", ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"`model` must be one of {names}, got {type(model).__name__}.")


def default_size(model: keras.Model) -> int:
    """Returns the side of a model's images in pixels, where it has a usual one."""
    settings = getattr(model, "inference_settings", None)
    if isinstance(settings, ClassificationSettings):
        return settings.options()["image_size"]
    for name in ("crop_size", "image_size"):
        if isinstance(getattr(settings, name, None), int):
            return getattr(settings, name)
    return {"features": 224, "segmentation": 512}.get(task_of(model), 640)


def prepared(model: keras.Model, include_preprocessing: bool) -> keras.Model:
    """Returns the model in float32 that takes 0-255, or normalised images, with the same weights; the model itself if
    it is one."""
    config = model.get_config()
    changed = _changed(config, include_preprocessing)
    if changed == config:
        return model
    new = type(model).from_config(changed)
    new.set_weights(model.get_weights())
    return new


def _changed(part, include_preprocessing):
    """Returns a configuration with other preprocessing, and float32 instead of mixed precision."""
    if isinstance(part, dict):
        if part.get("class_name") == "DTypePolicy":
            return {**part, "config": {**part["config"], "name": "float32"}}
        new = {key: _changed(value, include_preprocessing) for key, value in part.items()}
        return new | {"include_preprocessing": include_preprocessing} if "include_preprocessing" in new else new
    return part


class InferenceGraph(keras.Model):
    """What `predict` of a model computes, with named inputs and outputs.

    Args:
        model: A model of this package.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name=f"{model.name}_inference")
        self.task, self.inner = task_of(model), model
        if self.task == "features":
            self.inner = keras.Model(model.input, dict(model.pyramid_outputs))
        self.built = True

    def signature(self, batch_size: int | None, size: tuple[int | None, int | None]) -> Signature:
        """Returns the inputs and outputs for images of a size."""
        channels = self.inner.input_shape[-1] if self.task in ("classification", "features") else 3
        inputs = {"images": (batch_size, *size, channels)}
        if self.task == "detection":
            inputs["sizes"] = (batch_size, 2)
        return Signature(inputs, self.output_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in their order."""
        if self.task == "detection":
            return DETECTIONS
        if self.task == "features":
            return tuple(sorted(self.inner.output))
        if self.task == "segmentation":
            return ("logits",)
        return ("logits",) if gives_logits(self.inner) else ("probabilities",)

    def call(self, images: Any, sizes: Any = None) -> dict[str, Any]:
        if self.task == "detection":
            found = self.inner({"images": images, "sizes": sizes}, training=False, detect=True)
        else:
            found = self.inner(images, training=False)
        if not isinstance(found, dict):
            found = {self.output_names[0]: found}
        return {name: found[name] for name in self.output_names}
