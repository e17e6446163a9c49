"""Networks whose blocks mix pixels in another way: everything that is built on the backbone takes them."""

import dataclasses
import json
import math

import command_lines
import keras
import numpy as np
import pytest
import small_model
import tiny_tasks
from backend_ops import gradients
from keras import ops

import keras_mambaout
from keras_mambaout import cli
from keras_mambaout.config import TOKEN_MIXERS, VARIANTS, MambaOutConfig
from keras_mambaout.layers import GatedCNNBlock
from keras_mambaout.models.macs import count_macs
from keras_mambaout.training.optimizer import undecayed

OTHERS = [mixer for mixer in TOKEN_MIXERS if mixer != "conv"]
TEST = VARIANTS["mambaout_test"]
SSM = dataclasses.replace(TEST, token_mixer="conv_ssm", state_dim=2, dt_rank=3, scan_directions=2)
CONFIGS = {**{mixer: TEST.with_token_mixer(mixer) for mixer in TOKEN_MIXERS}, "own": SSM}
IMAGES = np.random.RandomState(0).uniform(0, 255, (2, 64, 48, 3)).astype("float32")


@pytest.mark.no_backend
def test_default_is_mambaout():
    assert {config.token_mixer for config in VARIANTS.values()} == {"conv"}
    assert TEST.with_token_mixer("conv") == TEST == SSM.with_token_mixer("conv")


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_mixer": "ssm"}, "`token_mixer` must be one of conv, conv_ssm, causal_conv, identity, got 'ssm'"),
        ({"state_dim": 16}, r"`state_dim`, `dt_rank`, `scan_directions` are for token_mixer='conv_ssm', not 'conv'"),
        ({"token_mixer": "conv_ssm", "state_dim": 0}, "`state_dim` must be a positive integer, at most 1024, got 0"),
        ({"token_mixer": "conv_ssm", "dt_rank": 1.5}, "`dt_rank` must be a positive integer"),
        ({"token_mixer": "conv_ssm", "scan_directions": 3}, "`scan_directions` must be one of 1, 2, 4, got 3"),
        ({"token_mixer": "conv_ssm", "scan_directions": True}, "`scan_directions` must be one of 1, 2, 4, got True"),
    ],
)
def test_bad_configurations(change, message):
    with pytest.raises(ValueError, match=message):
        MambaOutConfig(**change)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_and_macs(name):
    model = keras_mambaout.MambaOutClassifier(keras_mambaout.MambaOutBackbone(CONFIGS[name]), classes=7)
    assert model.count_params() == CONFIGS[name].count_parameters(7)
    assert count_macs(model, (1, 64, 64, 3)) > 0


def test_macs_by_hand():
    """Of a block with 32 channels, 16 of them mixed, at 4 x 5 pixels."""
    dense, conv = 3 * 64 * 32, 49 * 16
    ssm = 2 * 16 * ((3 + 2 * 2) + 3 + 3 * 2 + 1)  # two directions: x_proj, dt_proj, three for each state, D
    expected = {"conv": dense + conv, "causal_conv": dense + conv, "identity": dense, "conv_ssm": dense + conv + ssm}
    for mixer, macs in expected.items():
        options = {"state_dim": 2, "dt_rank": 3, "scan_directions": 2} if mixer == "conv_ssm" else {}
        block = GatedCNNBlock(2.0, 0.5, token_mixer=mixer, **options)
        assert count_macs(block, (1, 4, 5, 32)) == 20 * macs


@pytest.mark.parametrize("name", ["own", "causal_conv", "identity"])
def test_saved_and_loaded(name, tmp_path):
    model = keras_mambaout.MambaOutClassifier(keras_mambaout.MambaOutBackbone(CONFIGS[name]), classes=3)
    expected = small_model.predict(model, IMAGES)
    model.save(tmp_path / "model.keras")
    again = keras_mambaout.load_model(tmp_path / "model.keras")
    assert again.backbone.config == CONFIGS[name]
    np.testing.assert_allclose(small_model.predict(again, IMAGES), expected, atol=1e-6)
    keras_mambaout.save_safetensors(model, tmp_path / "model.safetensors")
    other = keras_mambaout.MambaOutClassifier(
        keras_mambaout.MambaOutBackbone(CONFIGS[name]), classes=3, weights=tmp_path / "model.safetensors"
    )
    small_model.assert_same(other, small_model.values(model))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of MambaOut, and their values by the variables' paths."""
    path = tmp_path_factory.mktemp("weights") / "conv.safetensors"
    keras.utils.set_random_seed(5)
    model = small_model.create(classes=3)
    keras_mambaout.save_safetensors(model, path)
    return path, {variable.path: variable.numpy() for variable in model.weights}


class TestWeightsOfMambaOut:
    @pytest.mark.parametrize("mixer", OTHERS)
    def test_loaded_when_asked_to(self, mixer, file, caplog):
        path, expected = file
        model = small_model.create(classes=3, token_mixer=mixer)
        before = {variable.path: variable.numpy() for variable in model.weights}
        fresh = keras_mambaout.load_weights(model, path, fresh_token_mixer=True)
        assert len(fresh) == (6 * 4 * 5 if mixer == "conv_ssm" else 0)
        assert all(".ssm." in name for name in fresh) and ("fresh and to be trained" in caplog.text) == bool(fresh)
        for variable in model.weights:
            wanted = before if "/ssm/" in variable.path else expected
            np.testing.assert_array_equal(variable.numpy(), wanted[variable.path])

    @pytest.mark.parametrize("mixer", ["conv_ssm", "identity"])
    def test_not_by_mistake(self, mixer, file):
        model = small_model.create(classes=3, token_mixer=mixer)
        before = small_model.values(model)
        with pytest.raises(ValueError, match="which is left unchanged"):
            keras_mambaout.load_weights(model, file[0])
        small_model.assert_same(model, before)

    @pytest.mark.parametrize("mixer", OTHERS)
    def test_published_ones_are_refused(self, mixer):
        message = rf"none, for token_mixer='{mixer}'.*load_weights\(model, 'imagenet', fresh_token_mixer=True\)"
        with pytest.raises(ValueError, match=message):
            keras_mambaout.create_model("mambaout_tiny", token_mixer=mixer)
        with pytest.raises(ValueError, match=message):
            keras_mambaout.MambaOutBackbone(VARIANTS["mambaout_tiny"].with_token_mixer(mixer), weights="imagenet")


def test_no_weight_decay_for_the_decays_of_states():
    model = small_model.create(token_mixer="conv_ssm", classes=3)
    names = {variable.name for variable in undecayed(model.trainable_variables)}
    assert {"A_log", "D", "dt_bias", "bias", "gamma"} <= names and not {"x_proj", "dt_proj", "kernel"} & names


@pytest.mark.parametrize("name", OTHERS)
def test_every_weight_is_trained(name):
    keras.utils.set_random_seed(3)
    options = {"scan_directions": 2} if name == "conv_ssm" else {}
    config = MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), token_mixer=name, **options)
    model = keras_mambaout.MambaOutClassifier(keras_mambaout.MambaOutBackbone(config), classes=3)
    loss, grads = gradients(model, keras.losses.sparse_categorical_crossentropy, IMAGES, np.array([0, 2]))
    assert math.isfinite(loss) and len(grads) == len(model.trainable_variables)
    assert all(np.isfinite(grad).all() and np.abs(grad).max() > 0 for grad in grads.values())


@pytest.mark.first_on("torch", "tensorflow")
def test_recomputed_in_low_precision_and_with_channels_first():
    keras.utils.set_random_seed(3)
    plain = keras_mambaout.MambaOutBackbone(CONFIGS["conv_ssm"], pooling="avg")
    anew = keras_mambaout.MambaOutBackbone(CONFIGS["conv_ssm"], pooling="avg", rematerialize=True)
    first = keras_mambaout.MambaOutBackbone(CONFIGS["conv_ssm"], pooling="avg", data_format="channels_first")
    low = keras_mambaout.MambaOutBackbone(CONFIGS["conv_ssm"], pooling="avg", dtype="mixed_bfloat16")
    for model in (anew, first, low):
        model.set_weights(plain.get_weights())
    (loss, grads), (loss_anew, grads_anew) = (gradients(model, ops.multiply, IMAGES, 1.0) for model in (plain, anew))
    np.testing.assert_allclose(loss_anew, loss, rtol=1e-5)
    for grad, grad_anew in zip(grads.values(), grads_anew.values(), strict=True):
        np.testing.assert_allclose(grad_anew, grad, atol=1e-4 * np.abs(grad).max())
    expected = small_model.predict(plain, IMAGES)
    np.testing.assert_allclose(small_model.predict(first, IMAGES.transpose(0, 3, 1, 2)), expected, atol=1e-4)
    assert np.abs(ops.convert_to_numpy(ops.cast(low(IMAGES), "float32")) - expected).max() < 0.1


@pytest.mark.first_on("torch")
def test_quantized_and_with_lora():
    model = small_model.create(classes=3, token_mixer="conv_ssm")
    expected = small_model.predict(model, IMAGES)
    model.backbone.enable_lora(2)
    np.testing.assert_allclose(small_model.predict(model, IMAGES), expected, atol=1e-5)
    model = small_model.create(classes=3, token_mixer="conv_ssm")
    expected = small_model.predict(model, IMAGES)
    model.quantize("int8")
    np.testing.assert_allclose(small_model.predict(model, IMAGES), expected, atol=0.02)


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("task", [pytest.param("mask_rcnn", marks=pytest.mark.exhaustive), "upernet"])
def test_under_the_heads_of_this_package(task, tmp_path):
    """One step, predictions, and the same after loading; the detectors of others are in `test_detectors.py`."""
    model = tiny_tasks.compile(tiny_tasks.create(task, config=tiny_tasks.CONFIG.with_token_mixer("conv_ssm")))
    images, labels = tiny_tasks.batch(task)
    assert np.isfinite(model.train_on_batch(images, labels)).all()
    for scan in model.backbone.get_layer("stages_0_blocks_0").ssm.models:
        assert scan.A_log.numpy().all()  # it begins with zeros: the smallest gradient shows
    expected = model.predict(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras_mambaout.load_model(tmp_path / "model.keras")
    assert loaded.backbone.config == model.backbone.config and model.backbone.config.token_mixer == "conv_ssm"
    keras.tree.map_structure(np.testing.assert_array_equal, loaded.predict(images, verbose=0), expected)
    whole, plain = (
        count_macs(getattr(one, "pyramid", one), (1, 32, 32, 3)) for one in (model, tiny_tasks.create(task))
    )
    blocks = [model.backbone.get_layer(f"stages_{stage}_blocks_0") for stage in range(4)]
    assert whole - plain == sum(block.ssm.count_macs(64 // 4**stage) for stage, block in enumerate(blocks))


@pytest.mark.first_on("torch")
@pytest.mark.parametrize(
    "task",
    [
        "classification",
        pytest.param("instances", marks=pytest.mark.exhaustive),
        pytest.param("semantic", marks=pytest.mark.exhaustive),
    ],
)
def test_trained_by_the_command(task, tmp_path, capsys):
    """With MambaOut's weights in what is shared, saved, and resumed with this mixer only."""
    (tmp_path / "made").mkdir()
    made = command_lines.write(tmp_path / "made")
    weights, output = tmp_path / "conv.safetensors", tmp_path / "run"
    backbone = small_model.create(include_top=False)
    keras_mambaout.save_safetensors(backbone, weights)
    (line,) = [line for line in command_lines.lines() if line.words == ["train", task]]
    command = [*command_lines.base(line, made, str(output)), "--weights", str(weights), "--epochs", "1"]
    assert cli.main([*command, "--token-mixer", "conv_ssm"]) == 0
    model = keras_mambaout.load_model(output / "last.keras")
    assert model.backbone.config == CONFIGS["conv_ssm"]
    kernel = model.backbone.get_layer("stages_0_blocks_0").conv.kernel.numpy()
    np.testing.assert_allclose(kernel, backbone.get_layer("stages_0_blocks_0").conv.kernel.numpy(), atol=0.01)
    assert json.loads((output / "settings.json").read_text())["network"]["token_mixer"] == "conv_ssm"
    capsys.readouterr()
    assert cli.main([*command, "--token-mixer", "causal_conv", "--resume"]) == 1
    assert "network was" in capsys.readouterr().err
