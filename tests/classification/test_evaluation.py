"""Accuracy and loss of classifiers whose answers are known."""

import collections

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_mambaout.classification import ClassificationDataset, evaluate_classifier

CLASSES = 7
LABELS = [0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 6]
SHIFTS = [0, 1, 0, 0, 4, 5, 0, 6, 2, 0, 0]  # by how many places the model below misses the class


@pytest.fixture
def dataset(tmp_path):
    """Grey images: 20 times what the model below takes for the class."""
    for number, (label, shift) in enumerate(zip(LABELS, SHIFTS, strict=True)):
        folder = tmp_path / f"class {label}"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (6, 6), (20 * ((label + shift) % CLASSES),) * 3).save(folder / f"{number:02}.png")
    return ClassificationDataset.from_folder(tmp_path)


def grey_classifier(activation="linear", classes=CLASSES, last=None):
    """The class of the image's grey / 20 has the highest score, the class before the next one, and so on."""
    inputs = keras.Input((2, 2, 3))
    grey = keras.layers.GlobalAveragePooling2D()(inputs)[:, :1] / 20  # (B, 1)
    places = ops.mod(grey - ops.reshape(ops.arange(classes, dtype="float32"), (1, classes)) + 0.5, classes) - 0.5
    outputs = keras.layers.Activation(activation)(-places)
    return keras.Model(inputs, outputs if last is None else last(outputs))


def expected_loss():
    """Scores are 0, -1, ..., -6, the right class has the score -shift."""
    return np.mean(SHIFTS) + np.log(np.exp(-np.arange(CLASSES)).sum())


@pytest.mark.parametrize("batch_size", [4, 11, 32])
@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_metrics(dataset, batch_size, activation):
    """Shifts are 0 in six of eleven images, and 4 or less in nine."""
    metrics = evaluate_classifier(grey_classifier(activation), dataset, batch_size, image_size=2)
    classes = metrics.pop("classes")
    assert metrics == {
        "top1": pytest.approx(6 / 11),
        "top5": pytest.approx(9 / 11),
        "loss": pytest.approx(expected_loss(), rel=1e-5),
        "images": 11,
    }
    assert [row["name"] for row in classes] == dataset.class_names
    for label, row in enumerate(classes):
        own = [shift for other, shift in zip(LABELS, SHIFTS, strict=True) if other == label]
        taken = collections.Counter(dataset.class_names[(label + shift) % CLASSES] for shift in own)
        assert row["images"] == len(own) and row["predictions"] == taken
        assert row["accuracy"] == own.count(0) / len(own)


def test_all_batches_have_one_shape(dataset, monkeypatch):
    model, shapes = grey_classifier(), []
    predict = model.predict_on_batch
    monkeypatch.setattr(model, "predict_on_batch", lambda images: shapes.append(images.shape) or predict(images))
    evaluate_classifier(model, dataset, batch_size=4, image_size=2)
    assert shapes == [(4, 2, 2, 3)] * 3


def test_unreadable_images_do_not_count(dataset, tmp_path):
    path = tmp_path / "class 2" / "04.png"  # shift 4
    path.write_bytes(b"no image")
    metrics = evaluate_classifier(grey_classifier(), dataset, batch_size=3, image_size=2)
    assert metrics["images"] == 10 and dataset.unreadable == [str(path)]
    assert metrics["top1"] == pytest.approx(6 / 10) and metrics["top5"] == pytest.approx(8 / 10)
    losses = np.array(SHIFTS) + np.log(np.exp(-np.arange(CLASSES)).sum())
    assert metrics["loss"] == pytest.approx(np.delete(losses, 4).mean(), rel=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = grey_classifier()

    def call(self, images):
        return self.inner(images)


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (lambda: grey_classifier(last=keras.layers.Softmax()), True),
        (lambda: keras.Sequential([keras.Input((2, 2, 3)), grey_classifier("softmax")]), True),
        (lambda: grey_classifier("sigmoid"), False),
        (lambda: grey_classifier(last=keras.layers.Dropout(0.5)), False),
        (Subclassed, False),
    ],
)
def test_loss_is_told_where_it_is_known(dataset, model, loss):
    metrics = evaluate_classifier(model(), dataset, image_size=2)
    assert metrics["top1"] == pytest.approx(6 / 11) and metrics["top5"] == pytest.approx(9 / 11)
    assert metrics.get("loss") == (pytest.approx(expected_loss(), rel=1e-5) if loss else None)


def test_two_classes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6)).save(tmp_path / name / "1.png")
    metrics = evaluate_classifier(grey_classifier(classes=2), ClassificationDataset.from_folder(tmp_path), image_size=2)
    assert (metrics["top1"], metrics["top5"], metrics["images"]) == (0.5, 1.0, 2)


def test_crop(tmp_path):
    """Of a white image with a black frame of an eighth, which is 143 on average, `crop_pct=0.75` leaves the white."""
    for name, grey in (("0", 255), ("1", 0)):
        (tmp_path / name).mkdir()
        image = np.zeros((64, 64, 3), "uint8")
        image[8:-8, 8:-8] = grey
        Image.fromarray(image).save(tmp_path / name / "1.png")
    dataset = ClassificationDataset.from_folder(tmp_path)
    inputs = keras.Input((24, 24, 3))
    dark = keras.layers.GlobalAveragePooling2D()(inputs)[:, :1] - 200
    model = keras.Model(inputs, ops.concatenate([dark, -dark], -1))
    assert evaluate_classifier(model, dataset, image_size=24)["top1"] == 0.5
    assert evaluate_classifier(model, dataset, image_size=24, crop_pct=0.75)["top1"] == 1
    assert evaluate_classifier(model, dataset, image_size=24, crop_pct=0.75, crop_mode="squash")["top1"] == 1


def test_progress(dataset, capsys):
    evaluate_classifier(grey_classifier(), dataset, image_size=2, verbose=0)
    evaluate_classifier(grey_classifier(), dataset, image_size=2)  # no terminal
    assert capsys.readouterr().out == ""
    evaluate_classifier(grey_classifier(), dataset, batch_size=4, image_size=2, verbose=1)
    assert "11/11" in capsys.readouterr().out
    with pytest.raises(ValueError, match="`verbose` must be"):
        evaluate_classifier(grey_classifier(), dataset, image_size=2, verbose="loud")


def test_bad_models(dataset):
    with pytest.raises(ValueError, match="The model has 5 classes, the data set has 7"):
        evaluate_classifier(grey_classifier(classes=5), dataset, image_size=2)
    inputs = keras.Input((2, 2, 3))
    with pytest.raises(ValueError, match=r"one array of scores \(B, classes\), got shape \(32, 2, 2, 3\)"):
        evaluate_classifier(keras.Model(inputs, inputs * 1), dataset, image_size=2)
    with pytest.raises(ValueError, match=r"one array of scores \(B, classes\), got dict"):
        evaluate_classifier(keras.Model(inputs, {"scores": inputs * 1}), dataset, image_size=2)
    with pytest.raises(ValueError, match=r"not a number \(NaN\)"):
        evaluate_classifier(grey_classifier(last=lambda scores: scores * float("nan")), dataset, image_size=2)
    with pytest.raises(ValueError, match="`crop_mode` must be one of"):
        evaluate_classifier(grey_classifier(), dataset, image_size=2, crop_mode="top")


def test_real_data(data_dir):
    """A classifier of photos of flowers: what `model.evaluate` finds."""
    dataset = ClassificationDataset.from_folder(data_dir / "flowers" / "val")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(16), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((64, 64, 3)), *layers, keras.layers.Dense(5, "softmax")])
    metrics = evaluate_classifier(model, dataset, batch_size=16, image_size=64)
    model.compile(loss="sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    batches = dataset.batches(16, image_size=64, weighted=True)
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    assert metrics["images"] == 50 and metrics["top5"] == 1
    assert metrics["top1"] == pytest.approx(expected["accuracy"], abs=1e-6)
    assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-4)
