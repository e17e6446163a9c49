"""Classes of photos against `model.predict` and `decode_predictions`, of models of every kind of output."""

import keras
import numpy as np
import pytest
import seeded
from keras import ops

import keras_mambaout
from keras_mambaout.classification import classify

PHOTOS = [seeded.photo(40, 60), seeded.photo(64, 64), seeded.photo(90, 50)]
SCORES = np.array([[0.0, 2, 1, -1], [4, 0, 1, 2], [1, 1, 1, 1]], "float32")


class Knows:
    """Returns what it is told, and keeps what it was given."""

    def __init__(self, *batches):
        self.batches, self.given = list(batches), []

    def predict_on_batch(self, images):
        self.given.append(images)
        return self.batches.pop(0)


def constant(last, scores=SCORES[0]):
    """A model whose scores are the same for each image, before its last layer."""
    inputs = keras.Input((8, 8, 3))
    zeros = ops.zeros_like(keras.layers.GlobalAveragePooling2D()(inputs)[:, :1])
    return keras.Model(inputs, last(zeros + ops.convert_to_tensor(scores)[None]))


@pytest.mark.first_on("torch")
def test_imagenet_classes_are_those_of_decode_predictions():
    keras.utils.set_random_seed(0)
    model = keras_mambaout.create_model("mambaout_test", weights=None, input_shape=(64, 64, 3))
    crops = np.stack([keras_mambaout.resize_and_center_crop(photo, 64, 0.9) for photo in PHOTOS])
    probabilities = model.predict(crops, verbose=0)
    decoded = keras_mambaout.decode_predictions(probabilities, top=4)
    names = [keras_mambaout.decode_predictions(row[None], top=1)[0][0][1] for row in np.eye(1000)]
    found = classify(model, PHOTOS, 64, 0.9, top=4, batch_size=2, class_names=names)
    assert len(found) == 3
    for objects, expected, row in zip(found, decoded, probabilities, strict=True):
        assert objects["names"] == [name for _, name, _ in expected]
        np.testing.assert_allclose(objects["confidence"], [score for *_, score in expected], rtol=1e-5)
        np.testing.assert_array_equal(objects["classes"], np.argsort(-row, kind="stable")[:4])
        assert objects["classes"].dtype.kind == "i" and objects["confidence"].dtype == np.float32


@pytest.mark.parametrize(
    "last",
    [
        keras.layers.Softmax(),
        keras.layers.Activation("softmax"),
        keras.layers.Activation("linear"),  # logits
    ],
)
def test_logits_become_probabilities(last):
    (found,) = classify(constant(last), PHOTOS[:1], 8, top=3)
    expected = np.exp(SCORES[0]) / np.exp(SCORES[0]).sum()
    assert found["classes"].tolist() == [1, 2, 0]
    np.testing.assert_allclose(found["confidence"], expected[[1, 2, 0]], rtol=1e-5)
    assert sorted(found) == ["classes", "confidence"]


def test_confidence_of_several_labels_stays_as_it_is():
    (found,) = classify(constant(keras.layers.Activation("sigmoid")), PHOTOS[:1], 8, top=2)
    np.testing.assert_allclose(found["confidence"], 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-5)


def test_batches_crops_and_classes():
    """There are four classes, fewer than `top`; of equal ones the first comes first."""
    model = Knows(SCORES[:2] / 10 + 0.2, SCORES[2:] / 10)
    found = classify(model, PHOTOS, 16, crop_mode="squash", batch_size=2)
    assert [images.shape for images in model.given] == [(2, 16, 16, 3), (1, 16, 16, 3)]
    crop = keras_mambaout.resize_and_center_crop(PHOTOS[2], 16, crop_mode="squash")
    np.testing.assert_array_equal(model.given[1][0], crop)
    assert [objects["classes"].tolist() for objects in found] == [[1, 2, 0, 3], [0, 3, 2, 1], [0, 1, 2, 3]]
    assert found[1]["confidence"].tolist() == pytest.approx([0.6, 0.4, 0.3, 0.2])
    assert classify(model, []) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "`top` must be an integer of 1 or more, got 0"),
        ({"batch_size": 0}, "`batch_size` must be an integer of 1 or more, got 0"),
        ({"image_size": 0}, "`size` must be a positive integer, got 0"),
        ({"crop_pct": 2}, "`crop_pct` must be above 0"),
        ({"crop_mode": "top"}, "`crop_mode` must be one of"),
        ({"class_names": ["a", "b"]}, "one name for each of the 4 classes of the model, got 2"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        classify(Knows(SCORES[:1]), PHOTOS[:1], **options)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((1, 2, 2, 3)), r"one array of scores \(B, classes\), got shape \(1, 2, 2, 3\)"),
        ({"scores": SCORES}, "got dict"),
        (SCORES * np.nan, "NaN"),
        (SCORES[:1], "must be probabilities, from 0 to 1, got -1 to 2"),
    ],
)
def test_bad_models(output, message):
    with pytest.raises(ValueError, match=message):
        classify(Knows(output), PHOTOS[:1])
    with pytest.raises(ValueError, match="uint8 array"):
        classify(Knows(SCORES), [PHOTOS[0].astype("float32")])
