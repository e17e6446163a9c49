"""Quantized models come back whole, on every backend; `test_cross_backend.py` loads them on the others."""

import keras
import numpy as np
import pytest
import tiny_tasks

import keras_mambaout

pytestmark = [
    pytest.mark.first_on("torch", "jax"),
    pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method"),
]


def assert_same_predictions(model, other, task):
    images, _ = tiny_tasks.batch(task)
    keras.tree.map_structure(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5),
        *(each.predict(images, verbose=0) for each in (model, other)),
    )


@pytest.mark.parametrize(
    ("task", "mode"),
    [
        pytest.param(task, mode, marks=[] if (task, mode) == ("classifier", "int8") else pytest.mark.exhaustive)
        for task in tiny_tasks.TASKS
        for mode in ("int8", "int4", "float8")
    ],
)
@pytest.mark.filterwarnings("error:.*could not be loaded")
@pytest.mark.first_on("tensorflow", "torch")
def test_saved_and_loaded(task, mode, tmp_path):
    model = tiny_tasks.create(task)
    model.quantize(mode)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    loaded.save(tmp_path / "again.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    again = keras.models.load_model(tmp_path / "again.keras")
    other = tiny_tasks.create(task, seed=1)
    other.quantize(mode)
    other.load_weights(tmp_path / "model.weights.h5")
    values = {variable.path: variable.numpy() for variable in model.weights}
    for network in (again, other):
        assert len(network.weights) == len(values)
        for variable in network.weights:
            assert variable.numpy().dtype == values[variable.path].dtype
            np.testing.assert_array_equal(variable.numpy(), values[variable.path])
    assert_same_predictions(model, again, task)


def test_some_layers_alone(tmp_path):
    """Those that a filter leaves out stay as they are; LoRA goes over quantized layers."""
    model = tiny_tasks.create("classifier")
    model.quantize("int8", filters="fc2")
    model.enable_lora(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    block = loaded.get_layer("stages_0_blocks_0")
    assert (block.fc1.quantization_mode, block.fc2.quantization_mode) == (None, "int8")
    assert_same_predictions(model, loaded, "classifier")
    with pytest.raises(ValueError, match="has LoRA or is quantized"):
        keras_mambaout.save_safetensors(loaded, tmp_path / "model.safetensors")


@pytest.mark.first_on("torch")
def test_the_embedding_of_a_quantized_classifier(tmp_path):
    model = tiny_tasks.create("classifier")
    model.quantize("int8")
    embed = model.embedding_model()
    embed.save(tmp_path / "embed.keras")
    assert_same_predictions(embed, keras.models.load_model(tmp_path / "embed.keras"), "classifier")
