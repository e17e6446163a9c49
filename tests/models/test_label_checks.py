"""Models that check their labels take the arguments of `fit` and `evaluate` in Keras' order, sample weights too."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.labels import ObjectLabels
from keras_mambaout.models.mixins import LabelCheckMixin
from keras_mambaout.segmentation.labels import LabelMaps


class Detector(LabelCheckMixin, keras.Model):
    """Its loss is the weighted mean of `scale * number of objects`."""

    label_rule = ObjectLabels(num_classes=3)

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, images, training=False):
        return ops.mean(images, axis=(1, 2)) * 0 + self.scale

    def number(self, y):
        return ops.cast(ops.sum(y["classes"] >= 0, axis=1), "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        values = self.number(y) * y_pred[:, 0]
        if sample_weight is not None:  # Keras repeats them for each part of the labels
            values = values * ops.cast(keras.tree.flatten(sample_weight)[0], "float32")
        return ops.mean(values)


class Segmenter(Detector):
    """Its loss is the weighted mean of `scale * number of pixels of class 1`."""

    label_rule = LabelMaps(num_classes=3)

    def number(self, y):
        return ops.cast(ops.sum(y == 1, axis=(1, 2)), "float32")


CLASSES = {"detector": Detector, "segmenter": Segmenter}


def data(task):
    """Four images, and labels of which 1, 2, 0 and 1 count."""
    images = np.zeros((4, 6, 6, 3), "float32")
    if task == "detector":
        classes = np.array([[2, -1], [0, 1], [-1, -1], [0, -1]])
        boxes = np.where(classes[..., None] < 0, -1.0, [[[1, 1, 4, 5]]])
        return images, {"boxes": boxes.astype("float32"), "classes": classes.astype("float32")}
    labels = np.zeros((4, 6, 6), "int32")
    labels[0, 0, :1] = labels[1, 0, :2] = labels[3, 0, :1] = 1
    return images, labels


def wrong(task):
    images, labels = data(task)
    if task == "detector":
        return images, {**labels, "classes": np.where(labels["classes"] == 2, 3, labels["classes"])}
    return images, np.where(labels == 1, 7, labels).astype("int32")


@pytest.fixture(params=CLASSES)
def task(request):
    return request.param


@pytest.fixture
def model(task):
    model = CLASSES[task]()
    model.compile(keras.optimizers.SGD(0.0))
    return model


def names(function):
    return [name for name in inspect.signature(function).parameters if name != "kwargs"]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_order_of_arguments_is_that_of_keras(method):
    assert names(getattr(LabelCheckMixin, method)) == names(getattr(keras.Model, method))


def test_positional_arguments(model, task):
    images, labels = data(task)
    weights = np.array([1, 2, 3, 4], "float32")
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    validation = (images, labels, 10 * weights)
    # batch size, epochs, verbose, callbacks, split, validation data, shuffle, class and sample weights, first epoch
    model.fit(images, labels, 2, 2, 0, [callback], 0.0, validation, False, None, weights, 1)
    (logs,) = seen  # of the second epoch alone
    assert float(logs["loss"]) == pytest.approx((1 * 1 + 2 * 2 + 0 * 3 + 1 * 4) / 4)
    assert float(logs["val_loss"]) == pytest.approx(10 * float(logs["loss"]))
    # batch size, verbose, sample weights, steps, callbacks, return_dict
    logs = model.evaluate(images, labels, 4, 0, weights, None, None, True)
    assert float(logs["loss"]) == pytest.approx(9 / 4)
    assert float(np.ravel(model.evaluate(images, labels, 4, 0))[0]) == pytest.approx(1.0)


def test_wrong_labels_are_an_error_wherever_they_are_given(model, task):
    good, bad = data(task), wrong(task)
    for call in (
        lambda: model.fit(*bad, 2, 1, 0),
        lambda: model.fit(*good, 2, 1, 0, validation_data=bad),
        lambda: model.fit(*good, 2, 1, 0, None, 0.0, (*bad, np.ones(4))),
        lambda: model.evaluate(*bad, 4, 0),
        lambda: model.train_on_batch(*bad),
        lambda: model.test_on_batch(*bad),
    ):
        with pytest.raises(ValueError, match=r"from 0 to 2 .*got [37]"):
            call()
