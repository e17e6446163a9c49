"""Models made in a `keras.RematScope` train as without it, and compute their blocks anew."""

import contextlib
import functools

import keras
import numpy as np
import pytest
import tiny_tasks

import keras_mambaout
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.layers import GatedCNNBlock
from keras_mambaout.layers.replica_batch_norm import ReplicaBatchNormalization
from keras_mambaout.segmentation import upernet
from keras_mambaout.segmentation.uper.conv_norm_relu import ConvNormReLU

called_once = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX calls a layer once and computes its graph anew"
)
MODES = {
    "full": {"mode": "full"},
    "activations": {"mode": "activations"},
    "larger_than": {"mode": "larger_than", "output_size_threshold": 256},
    "list_of_layers": {"mode": "list_of_layers", "layer_names": ["stem", "stages_1_blocks_0", "box_head"]},
}


@functools.cache
def trained(task, mode=None, dtype="float32"):
    """Returns the model, its weights and its losses after two steps in a scope; drop path and dropout draw in them."""
    keras.config.set_dtype_policy(dtype)
    with keras.RematScope(**MODES[mode]) if mode else contextlib.nullcontext():
        model = tiny_tasks.compile(tiny_tasks.create(task, drop_path_rate=0.3), keras.optimizers.SGD(0.1))
        history = model.fit(*tiny_tasks.batch(task), epochs=2, verbose=0).history
    keras.config.set_dtype_policy("float32")
    return model, [variable.numpy() for variable in model.weights], history["loss"]


@pytest.mark.parametrize(
    ("task", "mode"),
    [
        pytest.param(task, mode, marks=[] if (task, mode) == ("classifier", "full") else pytest.mark.exhaustive)
        for task in tiny_tasks.TASKS
        for mode in MODES
    ],
)
def test_losses_and_weights_are_those_without(task, mode):
    """Weights, so gradients; random numbers are drawn, and averages counted, once."""
    _, expected, expected_losses = trained(task)
    _, weights, losses = trained(task, mode)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for value, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("task", tiny_tasks.TASKS)
def test_mixed_precision(task):
    _, _, expected = trained(task, dtype="mixed_bfloat16")
    _, _, losses = trained(task, "full", "mixed_bfloat16")
    np.testing.assert_allclose(losses, expected, rtol=0.02)


@pytest.mark.exhaustive
@pytest.mark.parametrize("task", tiny_tasks.TASKS)
def test_the_scope_may_have_ended(task):
    """Training, evaluation and predictions after the scope are those of a model without it."""
    plain, scoped = tiny_tasks.create(task), None
    with keras.RematScope():
        scoped = tiny_tasks.create(task)
    images, labels = tiny_tasks.batch(task)
    for model in (plain, scoped):
        tiny_tasks.compile(model, keras.optimizers.SGD(0.1)).fit(images, labels, shuffle=False, verbose=0)
    logs, expected = (model.evaluate(images, labels, verbose=0, return_dict=True) for model in (scoped, plain))
    assert logs == pytest.approx(expected, rel=1e-4)
    keras.tree.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4),
        *(model.predict(images, verbose=0) for model in (scoped, plain)),
    )


@pytest.fixture
def calls(monkeypatch):
    """The names of the blocks that are computed, one for each time."""
    names, branch = [], GatedCNNBlock._branch
    monkeypatch.setattr(
        GatedCNNBlock, "_branch", lambda self, *args, **kw: names.append(self.name) or branch(self, *args, **kw)
    )
    return names


@called_once
def test_blocks_are_computed_anew(calls):
    with keras.RematScope(mode="list_of_layers", layer_names=["stages_0_blocks_0"]):
        model = tiny_tasks.compile(tiny_tasks.create("classifier"))
    calls.clear()
    model.train_on_batch(*tiny_tasks.batch("classifier"))
    assert calls.count("stages_0_blocks_0") == calls.count("stages_1_blocks_0") + 1


@called_once
@pytest.mark.first_on("torch")
@pytest.mark.parametrize("make", [mask_rcnn, upernet])
def test_rematerialize_is_an_argument_of_the_factories(make, calls):
    """And of what they make only, not of the file."""
    options = {"num_classes": 3, "weights": None, "channels": 8}
    models = [make(tiny_tasks.CONFIG, rematerialize=flag, **options) for flag in (False, True)]
    task, times = make.__name__, []
    for model in models:
        calls.clear()
        tiny_tasks.compile(model).train_on_batch(*tiny_tasks.batch(task))
        times.append(calls.count("stages_2_blocks_0"))
    assert times[1] == times[0] + 1
    assert models[0].get_config().keys() == models[1].get_config().keys()
    assert "remat" not in str(models[1].get_config())


def test_rematerialize_is_an_argument_of_models():
    def modes(model):
        return {layer._remat_mode is not None for layer in model.layers if isinstance(layer, GatedCNNBlock)}

    for flag in (False, True):
        backbone = keras_mambaout.MambaOutBackbone(tiny_tasks.CONFIG, rematerialize=flag)
        model = keras_mambaout.create_model("mambaout_test", weights=None, rematerialize=flag)
        assert modes(backbone) == modes(model) == {flag}
    assert modes(type(backbone).from_config(backbone.get_config())) == {False}


@called_once
def test_layers_of_the_heads_of_upernet_are_computed_anew(monkeypatch):
    """But their batch is counted once."""
    names, convolution = [], ConvNormReLU._with_statistics
    monkeypatch.setattr(
        ConvNormReLU, "_with_statistics", lambda self, *maps: names.append(self.name) or convolution(self, *maps)
    )
    options = {"num_classes": 3, "weights": None, "channels": 8}
    model = tiny_tasks.compile(upernet(tiny_tasks.CONFIG, rematerialize=True, **options))
    counted = []
    monkeypatch.setattr(ReplicaBatchNormalization, "count", lambda self, *_: counted.append(self.path))
    names.clear()
    model.train_on_batch(*tiny_tasks.batch("upernet"))
    assert names.count("fusion") == names.count("bottleneck") == 2
    assert len(set(counted)) == len(counted) > 10
