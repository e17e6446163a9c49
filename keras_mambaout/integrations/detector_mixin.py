"""What KerasCV's and KerasHub's detectors lack, the same for both."""

import keras
import numpy as np

from keras_mambaout.detection.boxes import clean_labels, restore_detections
from keras_mambaout.detection.labels import ObjectLabels, class_key
from keras_mambaout.layers.pad_to_multiple import pad_to_multiple
from keras_mambaout.models.label_checks import LabelCheckMixin


class DetectorMixin(LabelCheckMixin):
    """Goes before a detector class of KerasCV or KerasHub.

    - Images of any size: the backbone pads them to a multiple of `size_multiple`, and anchors are
      made for the padded size; boxes come back for the image as it was. On TensorFlow every size
      has its own graph, since both libraries make anchors in Python.
    - Labels: checked in `fit` and `evaluate`, and made safe in the loss (`clean_labels`), so that
      boxes outside the image, images without objects and padding in any box format are learned from
      as they should be and never give NaN. Classes may be named "classes" or "labels".
    - Batches as `(x, y)` or `(x, y, sample_weight)` in every method, `train_on_batch`,
      `test_on_batch` and `predict_on_batch` too; sample weights are not used.
    """

    size_multiple = 32
    class_name = "classes"  # what the library calls the classes of boxes

    @property
    def label_rule(self):
        """What labels must be; `fit` and `evaluate` check it."""
        return ObjectLabels(self.num_classes)

    # === Data ===

    def fit(self, x=None, *args, **kwargs):
        self._trace_for("train", x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        self._trace_for("test", x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        self._trace_for("predict", x)
        return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        self._trace_for("train", x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        self._trace_for("test", x)
        return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x):
        self._trace_for("predict", x)
        return super().predict_on_batch(x)

    def _trace_for(self, step, data):
        """On TensorFlow, makes `step` anew for images of another size than before.

        Keras' functions replace sizes that differ from call to call by unknown ones.
        """
        if keras.config.backend() != "tensorflow":
            return
        size = _size_in(data)
        if getattr(self, f"_{step}_size", size) != size:
            setattr(self, f"{step}_function", None)
        setattr(self, f"_{step}_size", size)

    # === Steps ===

    def train_step(self, *args):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().train_step(*args[:-1], (x, y))

    def test_step(self, *args):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().test_step(*args[:-1], (x, y))

    def predict_step(self, *args):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        return super().predict_step(*args[:-1], x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        padded = pad_to_multiple(x, self.size_multiple)
        boxes, classes = clean_labels(
            y["boxes"], y[class_key(y)], self.num_classes, self.bounding_box_format, _size(x), _size(padded)
        )
        labels = {"boxes": boxes, self.class_name: classes}
        return super().compute_loss(x=padded, y=labels, y_pred=y_pred, sample_weight=None, **kwargs)

    def decode_predictions(self, predictions, images):
        """Turns what the model puts out for `images` into boxes, confidence and classes."""
        padded = pad_to_multiple(images, self.size_multiple)
        detections = super().decode_predictions(predictions, padded)
        return restore_detections(detections, self.bounding_box_format, _size(images), _size(padded))


def _size(images):
    size = tuple(images.shape[1:3])
    if None in size:
        raise ValueError(
            f"On TensorFlow the detectors of KerasCV and KerasHub need to know the size of the images, got batches of "
            f"shape {tuple(images.shape)}. Resize all to one size (`CocoDataset.batches(image_size=...)`), or "
            "set it with `tf.ensure_shape`."
        )
    return size


def _size_in(data):
    """`(H, W)` of the images in what `fit` and `predict` take, `None` if it cannot be seen."""
    if hasattr(data, "element_spec"):  # tf.data.Dataset
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
        return tuple(images.shape[1:3])
    if isinstance(data, keras.utils.PyDataset):
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data[0])
    return np.shape(data)[1:3] if hasattr(data, "__len__") else None
