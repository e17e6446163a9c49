"""MambaOut as a backbone of KerasHub: tasks, presets, and the initial values of its RetinaNet."""

import importlib
import sys

import keras_hub
import numpy as np
import pytest
from keras import ops

import keras_mambaout
from keras_mambaout.integrations.keras_hub import (
    MambaOutImageClassifier,
    MambaOutPyramidBackbone,
    RetinaNetObjectDetector,
    retinanet,
)


@pytest.fixture(scope="module")
def photos():
    return np.random.RandomState(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")


@pytest.fixture(scope="module")
def backbone():
    return MambaOutPyramidBackbone("mambaout_test", output_norms=True, drop_path_rate=0.1)


def outputs(model, images):
    return ops.convert_to_numpy(model(images, training=False))


def test_same_numbers_as_our_backbone(backbone, photos):
    ours = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
    ours.set_weights(backbone.get_weights())
    assert isinstance(backbone, keras_hub.models.FeaturePyramidBackbone)
    assert list(backbone.pyramid_outputs) == ["P2", "P3", "P4", "P5"]
    np.testing.assert_array_equal(outputs(backbone, photos), outputs(ours, photos))


@pytest.mark.parametrize("reader", [MambaOutPyramidBackbone, keras_hub.models.Backbone])
def test_preset_of_a_backbone(backbone, photos, reader, tmp_path):
    backbone.save_to_preset(tmp_path / "preset")
    loaded = reader.from_preset(str(tmp_path / "preset"))
    assert type(loaded) is MambaOutPyramidBackbone and loaded.get_config() == backbone.get_config()
    np.testing.assert_array_equal(outputs(loaded, photos), outputs(backbone, photos))


@pytest.mark.first_on("torch")
def test_image_classifier(backbone, photos, tmp_path):
    classifier = MambaOutImageClassifier(backbone, num_classes=3, activation="softmax")
    history = classifier.fit(photos, np.array([0, 2]), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    classifier.save_to_preset(tmp_path / "preset")
    loaded = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "preset"))
    assert type(loaded) is MambaOutImageClassifier
    np.testing.assert_array_equal(outputs(loaded, photos), outputs(classifier, photos))
    keras_hub.models.ImageClassifier(backbone, num_classes=3)  # KerasHub's own takes it too


@pytest.mark.first_on("torch")
def test_preset_of_a_detector(photos, tmp_path):
    detector = retinanet("mambaout_test", 3, "rel_xywh", weights=None, confidence_threshold=0.02, iou_threshold=0.4)
    detector.save_to_preset(tmp_path / "preset")
    for reader in (RetinaNetObjectDetector, keras_hub.models.RetinaNetObjectDetector):
        loaded = reader.from_preset(str(tmp_path / "preset"))
        assert type(loaded) is RetinaNetObjectDetector and loaded.bounding_box_format == "rel_xywh"
        assert loaded.prediction_decoder.get_config() == detector.prediction_decoder.get_config()
        for key, values in detector(photos).items():
            np.testing.assert_array_equal(ops.convert_to_numpy(loaded(photos)[key]), ops.convert_to_numpy(values))


def test_initial_predictions(photos):
    """Every anchor is an object with about the paper's probability of 0.01, and its box is near the anchor."""
    detector = retinanet("mambaout_test", 3, weights=None)
    predictions = detector(photos)
    scores = ops.convert_to_numpy(ops.sigmoid(predictions["cls_logits"]))
    assert np.median(scores) == pytest.approx(0.01, rel=0.1) and scores.mean() < 0.02
    assert np.abs(ops.convert_to_numpy(predictions["bbox_regression"])).mean() < 0.5
    for head in (detector.box_head, detector.classification_head):
        for layer in head.conv_layers:
            assert np.std(layer.kernel.numpy()) == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.02)
        assert np.std(head.prediction_layer.kernel.numpy()) == pytest.approx(0.01, rel=0.05)


def test_losses_are_the_papers(photos):
    """Recomputed from targets and predictions: sums over classes and coordinates, per matched anchor."""
    detector = retinanet("mambaout_test", 3, weights=None)
    images = ops.convert_to_tensor(photos)
    boxes = np.array([[[2, 3, 40, 50]], [[-1, -1, -1, -1]]], "float32")
    classes = np.array([[1], [-1]], "float32")
    outputs = detector(images)
    loss = float(detector.compute_loss(x=images, y={"boxes": boxes, "classes": classes}, y_pred=outputs))

    padded = np.zeros((2, 128, 128, 3), "float32")
    aside = np.array([[[2, 3, 40, 50]], [[128, 128, 129, 129]]], "float32")  # what stands for no object
    targets, matched = (ops.convert_to_numpy(t) for t in detector.label_encoder(padded, aside, classes))
    deltas, logits = (ops.convert_to_numpy(outputs[key]) for key in ("bbox_regression", "cls_logits"))
    positive, ignored = matched >= 0, matched == -2
    assert positive.sum() > 0
    error = np.abs(targets - deltas)[positive]
    box_loss = np.where(error < 1, error**2 / 2, error - 0.5).sum()
    labels = np.eye(3)[matched.astype(int) % 3] * positive[..., None]
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    true_p = np.where(labels == 1, p, 1 - p)
    focal = np.where(labels == 1, 0.25, 0.75) * (1 - true_p) ** 2 * -np.log(true_p)
    class_loss = focal[~ignored].sum()
    assert loss == pytest.approx((box_loss + class_loss) / positive.sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounding_box_format": "coco"}, "`bounding_box_format` must be one of 'xyxy'"),
        ({"num_classes": 0}, "`num_classes` must be an integer of 1 or more, got 0"),
        ({"iou_threshold": 2}, "`iou_threshold` must be a number from 0 to 1"),
        ({"backbone": "resnet50"}, "Unknown MambaOut variant 'resnet50'"),
        ({"drop_path_rate": 1.0}, "`drop_path_rate`"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        retinanet(**{"backbone": "mambaout_test", "num_classes": 3, "weights": None, **arguments})


def test_own_backbone(backbone):
    with pytest.raises(ValueError, match=r"pad_to_multiple=128 .* got output_norms=True and pad_to_multiple=1"):
        retinanet(backbone, 3, weights=None)
    own = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True, pad_to_multiple=128)
    assert retinanet(own, 3).backbone.image_encoder is own


@pytest.mark.parametrize("library", ["keras_hub", "keras_cv"])
def test_library_that_is_missing(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"keras_mambaout.integrations.{library}", raising=False)
    with pytest.raises(ImportError, match=r'cannot be imported .*: pip install "keras-mambaout\[detection\]"'):
        importlib.import_module(f"keras_mambaout.integrations.{library}")
