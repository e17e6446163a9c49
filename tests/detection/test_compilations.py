"""How often a training step is compiled: once for each size of the batches, and those are few."""

import keras
import pytest

from keras_mambaout.detection import InstanceSegmentationRecipe, mask_rcnn
from keras_mambaout.detection.resizing import ResizeRule

SCALES = tuple(range(120, 201, 8))  # a quarter of Swin's
EDGES = {"shortest_edge": 200, "longest_edge": 333}
SMALL = {"channels": 8, "proposals": 10, "box_samples": 8, "max_detections": 5}


class Small(keras.Model):
    """Learns the mean of the classes from the mean of the pixels; `traced` has the size of the images of each step."""

    def __init__(self):
        super().__init__()
        self.dense, self.traced = keras.layers.Dense(1), []

    def call(self, inputs):
        return self.dense(keras.ops.mean(inputs["images"] / 255, (1, 2)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.traced.append(tuple(x["images"].shape[1:3]))
        return keras.ops.mean(keras.ops.square(y_pred[:, 0] - keras.ops.mean(y["classes"], -1)))


def check(model, traced, data, multi_scale):
    """Trains for an epoch, and checks which sizes steps were made for."""
    recipe = InstanceSegmentationRecipe(**EDGES, multi_scale=multi_scale, max_boxes=5, mask_size=14)
    model.compile("sgd")
    model.fit(recipe.batches(data, 4, epochs=(0, 1)), verbose=0)
    buckets, steps = set(ResizeRule(**{**EDGES, "shortest_edge": multi_scale or 200}).buckets), len(traced)
    assert len(buckets) == 6
    if keras.backend.backend() == "tensorflow":
        assert 1 <= steps <= 2, "one for all sizes, and one of Keras for what is not built"
        return
    assert set(traced) <= buckets and len(set(traced)) >= 4
    if keras.backend.backend() == "jax":
        assert steps <= len(set(traced)) + 1, "one for each size, and one of Keras for what is not built"
    else:
        assert steps == data.steps_per_epoch(4), "nothing is compiled"


@pytest.mark.parametrize("multi_scale", [None, SCALES])
def test_a_step_is_compiled_once_for_each_bucket(coco128, multi_scale):
    """A step is Python code that runs when it is traced: JAX compiles as often as that."""
    model = Small()
    check(model, model.traced, coco128, multi_scale)


@pytest.mark.exhaustive
def test_a_step_of_mask_rcnn(coco128, monkeypatch):
    model = mask_rcnn("mambaout_test", coco128.num_classes, weights=None, **SMALL)
    traced, compute_loss = [], type(model).compute_loss

    def count(self, x=None, *args, **kwargs):
        traced.append(tuple(x["images"].shape[1:3]))
        return compute_loss(self, x, *args, **kwargs)

    monkeypatch.setattr(type(model), "compute_loss", count)
    check(model, traced, coco128.subset(range(64)), SCALES)
