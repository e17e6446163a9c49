"""Evaluation of a segmenter, and the callback that does it during `fit`."""

import types

import keras
import numpy as np
import pytest
import small_segmenter as scenes

from keras_mambaout.segmentation import SegmentationDataset, SegmentationMeanIoU, evaluate_segmenter


class KnowsColours:
    """Finds the class whose colour is nearest; the last class is taken for the first."""

    num_classes = 3

    def predict_on_batch(self, images):
        logits = -np.abs(images[..., None, :] - scenes.COLOURS.astype("float32")).sum(-1)  # (B, H, W, 3)
        logits[..., 0] = np.maximum(logits[..., 0], logits[..., 2])
        logits[..., 2] = -1e9
        return logits


@pytest.fixture
def dataset(tmp_path):
    return SegmentationDataset.from_folder(*scenes.write(tmp_path, sizes=((40, 60), (40, 50))))


def test_a_whole_evaluation(dataset, capsys):
    metrics = evaluate_segmenter(KnowsColours(), dataset, 2, 32, 21, shortest_edge=40, verbose=1)
    assert "2/2" in capsys.readouterr().out
    labels = [dataset.load(number)[1] for number in range(2)]
    red, green, blue = (sum((one == value).sum() for one in labels) for value in range(3))
    expected = [red / (red + blue), 1.0, 0.0]
    assert [row["IoU"] for row in metrics["classes"]] == pytest.approx(expected)
    assert metrics["pixel_accuracy"] == pytest.approx((red + green) / (red + green + blue))
    assert [row["name"] for row in metrics["classes"]] == ["red", "green", "blue"]
    options = {"crop_size": None, "shortest_edge": 20, "scales": (1.0, 2.0), "flip": True}
    half = evaluate_segmenter(KnowsColours(), dataset, **options)
    assert half["mIoU"] == pytest.approx(metrics["mIoU"], abs=0.05)


def test_the_callback(dataset):
    """Of any model that returns logits."""
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
    callback = SegmentationMeanIoU(dataset, every=2, crop_size=32, stride=21, shortest_edge=40)
    batches = dataset.batches(2, crop_size=32, shortest_edge=40, training=True, seed=0)
    history = model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[callback]).history
    expected = evaluate_segmenter(model, dataset, 1, 32, 21, shortest_edge=40, verbose=0)
    logs = {}
    callback.on_epoch_end(3, logs)
    for name in ("mIoU", "mean_accuracy", "pixel_accuracy"):
        assert len(history[f"val_{name}"]) == 1 and logs[f"val_{name}"] == expected[name]
    with pytest.raises(ValueError, match="`every`"):
        SegmentationMeanIoU(dataset, every=0)
    with pytest.raises(ValueError, match="The model has 4 classes, the data set has 3"):
        evaluate_segmenter(types.SimpleNamespace(num_classes=4), dataset)
