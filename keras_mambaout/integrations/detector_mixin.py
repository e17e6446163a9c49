"""What the detectors of both KerasCV and KerasHub lack."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from keras_mambaout.detection.boxes import clean_labels, restore_detections
from keras_mambaout.detection.labels import ObjectLabels, class_key
from keras_mambaout.inference_settings import DetectionSettings
from keras_mambaout.layers.pad_to_multiple import pad_to_multiple
from keras_mambaout.models.mixins import InferenceSettingsMixin, LabelCheckMixin


class DetectorMixin(InferenceSettingsMixin, LabelCheckMixin):
    """Base class to put before a detector class of KerasCV or KerasHub.

    - Images of any size: the backbone pads them to a multiple of `size_multiple`, and anchors are
      made for the padded size; detected boxes are those of the image without padding. On TensorFlow, every size
      has its own graph, since both libraries make anchors in Python.
    - Labels: `fit` and `evaluate` check them, and the loss makes them safe (`clean_labels`): boxes outside the
      image, images without objects and padding are handled correctly in every box format and never
      give NaN. Classes may be named "classes" or "labels".
    - Batches as `(x, y)` or `(x, y, sample_weight)` in every method, including `train_on_batch`,
      `test_on_batch` and `predict_on_batch`; sample weights are not used.
    - `inference_settings`, as the models of this package have them.
    """

    settings_class = DetectionSettings

    size_multiple = 32
    class_name = "classes"  # what the library calls the classes of boxes
    default_losses: ClassVar[dict[str, str]] = {}  # what `compile` needs besides the optimizer

    def __init__(
        self, *args: Any, inference_settings: DetectionSettings | Mapping | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.inference_settings = inference_settings

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inference_settings": self.inference_settings.to_dict()}

    @property
    def label_rule(self) -> ObjectLabels:
        """What labels must be, which `fit` and `evaluate` check."""
        return ObjectLabels(self.num_classes)

    # === Data ===

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        self._trace_for("train", x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._trace_for("test", x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        with self.one_at_a_time:
            self._trace_for("predict", x)
            return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._trace_for("train", x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._trace_for("test", x)
        return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        with self.one_at_a_time:
            self._trace_for("predict", x)
            return super().predict_on_batch(x)

    def _trace_for(self, step, data):
        """On TensorFlow, makes `step` anew if images have a different size than before.

        Keras' functions replace sizes that differ from call to call with unknown ones.
        """
        if keras.config.backend() != "tensorflow":
            return
        size = _size_in(data)
        if getattr(self, f"_{step}_size", size) != size:
            setattr(self, f"{step}_function", None)
        setattr(self, f"_{step}_size", size)

    # === Steps ===

    def train_step(self, *args: Any) -> Any:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().train_step(*args[:-1], (x, y))

    def test_step(self, *args: Any) -> Any:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().test_step(*args[:-1], (x, y))

    def predict_step(self, *args: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().predict_step(*args[:-1], x)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        padded = pad_to_multiple(x, self.size_multiple)
        boxes, classes = clean_labels(
            y["boxes"], y[class_key(y)], self.num_classes, self.bounding_box_format, _size(x), _size(padded)
        )
        labels = {"boxes": boxes, self.class_name: classes}
        return super().compute_loss(x=padded, y=labels, y_pred=y_pred, sample_weight=None, **kwargs)

    def decode_predictions(self, predictions: Any, images: Any) -> dict[str, Any]:
        """Turns the model's outputs for `images` into boxes, confidence and classes."""
        padded = pad_to_multiple(images, self.size_multiple)
        detections = super().decode_predictions(predictions, padded)
        return restore_detections(detections, self.bounding_box_format, _size(images), _size(padded))


def _size(images):
    size = tuple(images.shape[1:3])
    if None in size:
        raise ValueError(
            f"On TensorFlow, the detectors of KerasCV and KerasHub must know the size of the images, got batches of "
            f"shape {tuple(images.shape)}. Resize all to one size (`CocoDataset.batches(image_size=...)`), or "
            "set it with `tf.ensure_shape`."
        )
    return size


def _size_in(data):
    """Returns `(H, W)` of the images in the data for `fit` or `predict`, `None` if it cannot be known."""
    if hasattr(data, "element_spec"):  # tf.data.Dataset
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
        return tuple(images.shape[1:3])
    if isinstance(data, keras.utils.PyDataset):
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data[0])
    return np.shape(data)[1:3] if hasattr(data, "__len__") else None
