"""The detectors that the tests build, each with a different box format."""

import dataclasses
import functools
from collections.abc import Callable

import keras

from keras_mambaout.integrations import keras_cv, keras_hub

CLASSES = 80


@dataclasses.dataclass(frozen=True)
class Case:
    build: Callable
    bounding_box_format: str
    losses: dict  # what `compile` needs in addition to the optimizer
    class_name: str
    learning_rate: float = 2e-4
    photos: int = 8  # to see the loss fall in two epochs

    def detector(self, bounding_box_format=None, num_classes=CLASSES, backbone="mambaout_test", **kwargs):
        return self.build(
            backbone,
            num_classes=num_classes,
            bounding_box_format=bounding_box_format or self.bounding_box_format,
            weights=None,
            **kwargs,
        )

    def compile(self, detector, learning_rate=None):
        optimizer = keras.optimizers.AdamW(learning_rate or self.learning_rate, global_clipnorm=10.0)
        detector.compile(optimizer=optimizer, **self.losses)
        return detector


CASES = {
    "keras_cv_retinanet": Case(
        keras_cv.retinanet, "rel_xywh", {"box_loss": "smoothl1", "classification_loss": "focal"}, "classes"
    ),
    "keras_cv_yolov8": Case(
        functools.partial(keras_cv.yolov8_detector, fpn_depth=1),
        "center_yxhw",
        {"box_loss": "ciou", "classification_loss": "binary_crossentropy"},
        "classes",
        learning_rate=3e-3,
        photos=48,  # its targets depend on its predictions, so the loss is noisy
    ),
    "keras_hub_retinanet": Case(keras_hub.retinanet, "rel_yxyx", {}, "labels"),
}
