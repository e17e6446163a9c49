"""What is compared of each kind of model: its labels, the losses it is trained with, and its outputs, part by part."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from keras_mambaout.compare import labels
from keras_mambaout.detection.rcnn.model import BOX_SIZE, MASK_SIZE, MaskRCNN
from keras_mambaout.detection.rcnn.roi_align import multiscale_roi_align
from keras_mambaout.integrations.detector_mixin import DetectorMixin
from keras_mambaout.scores import gives_logits
from keras_mambaout.segmentation.uper.model import AUXILIARY_STAGE, UperNet


class Task:
    """A kind of model. Subclasses say what is different from a network without labels of its own.

    Args:
        model: A model for which `fits` is true.
    """

    name = ""
    part_names: tuple[str, ...] = ("outputs",)
    least_tolerance: Mapping[str, float] = MappingProxyType({})  # for what is less exact than in other tasks

    def __init__(self, model: keras.Model):
        self.model = model

    @staticmethod
    def fits(model: keras.Model) -> bool:
        """Returns whether a model is of this kind."""
        raise NotImplementedError

    @property
    def network(self) -> keras.Model:
        """The functional part of the model, which begins with the images; its layers are compared one by one."""
        return keras.Model(self.model.inputs[0], self.model.output, name=self.model.name)

    def losses(self, images: np.ndarray) -> dict[str, Any]:
        """Returns the arguments of `compile` besides the optimizer."""
        return {}

    def labels(self, images: np.ndarray, classes: np.ndarray) -> Any:
        """Returns the labels of the images; `classes` are integers `(B,)`."""
        raise NotImplementedError

    def parts(self, images: Any, features: Any) -> tuple[Any, ...]:
        """Returns what follows the network, which returns `features`: one structure of tensors per `part_names`."""
        return (features,)


class InstanceSegmentation(Task):
    """Mask R-CNN. The second stage looks at given boxes: which it would choose may depend on rounding.

    In training it chooses, and a sample that is another one on another backend changes gradients and losses.
    """

    name = "instance segmentation"
    part_names = ("rpn_head", "second_stage")
    least_tolerance = MappingProxyType({"gradients": 5e-2})

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, MaskRCNN)

    @property
    def network(self) -> keras.Model:
        return self.model.pyramid

    def labels(self, images: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
        objects = labels.draw_objects(images.shape, self.model.num_classes, self.model.bounding_box_format)
        return {**objects, "masks": labels.draw_masks(images.shape)}

    def parts(self, images: Any, features: Any) -> tuple[Any, ...]:
        rpn_logits, rpn_deltas = self.model.rpn_head(features)
        boxes = keras.ops.convert_to_tensor(labels.draw_boxes(images.shape))
        logits, deltas = self.model.box_head(multiscale_roi_align(features[:-1], boxes, BOX_SIZE))
        masks = self.model.mask_head(multiscale_roi_align(features[:-1], boxes, MASK_SIZE))
        return {"logits": rpn_logits, "deltas": rpn_deltas}, {"logits": logits, "deltas": deltas, "masks": masks}


class SemanticSegmentation(Task):
    """UperNet. With two images, the batch normalisation over its coarsest pooling, two values, magnifies rounding."""

    name = "semantic segmentation"
    part_names = ("pyramid_pooling", "auxiliary_head", "head", "logits")
    least_tolerance = MappingProxyType({"gradients": 5e-2})

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, UperNet)

    @property
    def network(self) -> keras.Model:
        return self.model.features

    def labels(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return labels.draw_label_maps(images.shape, self.model.num_classes, self.model.ignore_index)

    def parts(self, images: Any, features: Any) -> tuple[Any, ...]:
        head = self.model.head
        return (
            head.pooling(features[-1]),
            self.model.auxiliary_head(features[AUXILIARY_STAGE]),
            head(features),
            self.model(images),
        )


class ObjectDetection(Task):
    """A detector of `keras_mambaout.integrations`, before its outputs are decoded."""

    name = "object detection"

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return isinstance(model, DetectorMixin)

    def losses(self, images: np.ndarray) -> dict[str, Any]:
        return self.model.default_losses

    def labels(self, images: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
        return labels.draw_objects(images.shape, self.model.num_classes, self.model.bounding_box_format)


class Classification(Task):
    """A functional model with one output `(B, classes)`; classes from `classes` on begin again at 0."""

    name = "classification"
    part_names = ()

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return _takes_images(model) and [len(output.shape) for output in model.outputs] == [2]

    def losses(self, images: np.ndarray) -> dict[str, Any]:
        logits = gives_logits(self.model)
        if logits is None:
            outputs = self.model.predict_on_batch(images)
            logits = outputs.min() < 0 or not np.allclose(outputs.sum(axis=-1), 1, atol=1e-2)
        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=logits)}

    def labels(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return classes % self.model.outputs[0].shape[-1]

    def parts(self, images: Any, features: Any) -> tuple[Any, ...]:
        return ()


class Features(Task):
    """Any other functional model, such as a backbone: mean squared errors to random targets.

    With targets of zero, the gradient of a normalised output would be rounding errors alone.
    """

    name = "features"

    @staticmethod
    def fits(model: keras.Model) -> bool:
        return _takes_images(model) and not hasattr(model, "bounding_box_format")

    def losses(self, images: np.ndarray) -> dict[str, Any]:
        return {"loss": keras.losses.MeanSquaredError()}

    def labels(self, images: np.ndarray, classes: np.ndarray) -> Any:
        rng = np.random.default_rng(0)
        outputs = self.model.predict_on_batch(images)
        return keras.tree.map_structure(lambda output: rng.normal(size=output.shape).astype("float32"), outputs)


TASKS = (InstanceSegmentation, SemanticSegmentation, ObjectDetection, Classification, Features)


def task_of(model: keras.Model) -> Task:
    """Returns the task of a model.

    Raises:
        ValueError: If a model of this kind cannot be compared.
    """
    for task in TASKS:
        if task.fits(model):
            return task(model)
    raise ValueError(
        f"A {type(model).__name__} cannot be compared: give a MaskRCNN, a UperNet, a detector of "
        "keras_mambaout.integrations, or a functional model that takes one batch of images (B, H, W, C)."
    )


def _takes_images(model):
    inputs = getattr(model, "inputs", None) or []
    return len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[-1] is not None
