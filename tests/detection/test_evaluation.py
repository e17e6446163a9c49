"""Evaluation of a model, and the callback that does it during `fit`."""

import keras
import numpy as np
import pytest
import white
from white import FindsWhite

from keras_mambaout.detection import CocoDataset, CocoMeanAveragePrecision, evaluate_detector


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset.from_json(*white.write(tmp_path))


@pytest.mark.parametrize(
    ("name", "options"),
    [("xyxy", {"image_size": 64}), ("rel_yxyx", {"image_size": (96, 128)}), ("center_xywh", {"shortest_edge": 96})],
)
def test_a_model_that_finds_all(dataset, name, options):
    """The last batch has one image; at double size the edges of the rectangles stay to within a pixel."""
    metrics = evaluate_detector(FindsWhite(name), dataset, batch_size=3, **options)
    assert metrics["AP50"] == pytest.approx(1)
    assert metrics["AP"] > 0.85
    if options == {"image_size": 64}:
        assert metrics["AP"] == metrics["APs"] == pytest.approx(1)


def test_a_model_whose_boxes_are_shifted(dataset):
    """Moved by 0.24 of the width, the IoU is 0.76 / 1.24 = 0.61: three thresholds of ten."""
    assert evaluate_detector(FindsWhite(shift=0.24), dataset, image_size=64)["AP"] == pytest.approx(3 / 10)


def test_progress(dataset, capsys):
    evaluate_detector(FindsWhite(), dataset, image_size=64, verbose=0)
    evaluate_detector(FindsWhite(), dataset, image_size=64)  # no terminal
    assert capsys.readouterr().out == ""
    evaluate_detector(FindsWhite(), dataset, batch_size=3, image_size=64, verbose=1)
    assert "4/4" in capsys.readouterr().out
    with pytest.raises(ValueError, match="`verbose` must be"):
        evaluate_detector(FindsWhite(), dataset, image_size=64, verbose="loud")


class Learner(keras.Sequential):
    """Trains one weight; from the second epoch on its detections are right."""

    bounding_box_format = "xyxy"
    evaluated = 0

    def predict_on_batch(self, images):
        predictions = FindsWhite().predict_on_batch(images)
        self.evaluated += 1
        return predictions if self.evaluated > 1 else {**predictions, "boxes": predictions["boxes"] + 1000}


def fit(model, callbacks, epochs=4):
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    return model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=callbacks)


def test_callback(dataset):
    model = Learner([keras.Input((3,)), keras.layers.Dense(1)])
    precision = CocoMeanAveragePrecision(dataset, batch_size=4, image_size=64)
    stop = keras.callbacks.EarlyStopping(monitor="val_AP", mode="max", patience=1)
    history = fit(model, [precision, stop]).history
    assert history["val_AP"] == pytest.approx([0, 1, 1]), "EarlyStopping saw it: the third epoch was no better"
    assert history["val_AP50"] == pytest.approx([0, 1, 1])
    assert np.isnan(history["val_APl"]).all()
    assert {"loss", "val_APs", "val_APm", "val_AP75"} <= set(history)


def test_callback_every_other_epoch(dataset):
    callback = CocoMeanAveragePrecision(dataset, batch_size=4, image_size=64, every=2, prefix="coco_")
    history = fit(Learner([keras.Input((3,)), keras.layers.Dense(1)]), [callback]).history
    assert history["coco_AP"] == pytest.approx([0, 1]) and len(history["loss"]) == 4


def test_bad_callbacks(dataset):
    with pytest.raises(ValueError, match="Exactly one of `image_size`"):
        CocoMeanAveragePrecision(dataset, image_size=64, shortest_edge=48)
    with pytest.raises(ValueError, match="`every` must be an integer of 1 or more, got 0"):
        CocoMeanAveragePrecision(dataset, image_size=64, every=0)
    with pytest.raises(ValueError, match="`iou_type`"):
        CocoMeanAveragePrecision(dataset, image_size=64, iou_type="boxes")
    classifier = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="Sequential has no attribute `bounding_box_format`"):
        fit(classifier, [CocoMeanAveragePrecision(dataset, image_size=64)])


def test_bad_models(dataset):
    classifier = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="Sequential has no attribute `bounding_box_format`"):
        evaluate_detector(classifier, dataset, image_size=64)
    classifier.bounding_box_format = "xyxy"
    with pytest.raises(ValueError, match="Predictions must be a dict with 'boxes'"):
        evaluate_detector(classifier, dataset, image_size=64)
    classifier.bounding_box_format = "corners"
    with pytest.raises(ValueError, match="got 'corners'"):
        evaluate_detector(classifier, dataset, image_size=64)
    with pytest.raises(ValueError, match="Exactly one of `image_size`"):
        evaluate_detector(FindsWhite(), dataset, image_size=64, shortest_edge=48)
    with pytest.raises(ValueError, match="into: make it first"):
        evaluate_detector(FindsWhite(), dataset, image_size=64, results="nowhere/results.json")
