"""LoRA on the blocks: only it and the last layer train, and a saved model has it merged."""

import keras
import numpy as np
import pytest
import tiny_tasks

import keras_mambaout


@pytest.fixture(scope="module")
def trained():
    """A classifier after five epochs, what its weights were before, and the losses."""
    model = tiny_tasks.create("classifier")
    keras_mambaout.freeze_stages(model, 0)
    model.enable_lora(2)
    before = {variable.path: variable.numpy() for variable in model.weights}
    tiny_tasks.compile(model, keras.optimizers.Adam(1e-2))
    return model, before, model.fit(*tiny_tasks.batch("classifier"), epochs=5, verbose=0).history["loss"]


def test_only_lora_and_the_last_layer_change(trained):
    model, before, losses = trained
    assert losses[-1] < 0.7 * losses[0]
    changed = {variable.path for variable in model.weights if (variable.numpy() != before[variable.path]).any()}
    lora = {path for path in before if "lora_kernel" in path}
    assert len(lora) == 16 and changed == lora | {"head/fc/kernel", "head/fc/bias"}
    assert changed == {variable.path for variable in model.trainable_variables}


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_loaded_model_is_merged(trained, tmp_path):
    model, _, _ = trained
    images, _ = tiny_tasks.batch("classifier")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not any("lora" in variable.path for variable in loaded.weights)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)
    frozen = [layer.name for layer in loaded.layers if layer.weights and not layer.trainable]
    assert frozen == ["stem"]  # as before LoRA
    keras_mambaout.save_safetensors(loaded, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"has LoRA or is quantized.*lora_kernel_a"):
        keras_mambaout.save_safetensors(model, tmp_path / "other.safetensors")


def test_wrong_arguments(trained):
    with pytest.raises(ValueError, match="LoRA is enabled already"):
        trained[0].enable_lora(2)
    backbone = tiny_tasks.create("classifier").backbone
    with pytest.raises(ValueError, match="`rank` must be"):
        backbone.enable_lora(0)
    with pytest.raises(ValueError, match="`target_layer_names` must be one or both of fc1, fc2, got"):
        backbone.enable_lora(2, ["query"])
    backbone.enable_lora(2, ["fc2"])
    assert {variable.path.split("/")[1] for variable in backbone.trainable_variables} == {"fc2"}
