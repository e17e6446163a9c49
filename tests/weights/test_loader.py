"""Strict loading: every tensor used, every variable filled, and nothing changed when that fails."""

import builtins
import logging
import os
import re

import numpy as np
import pytest
import safetensors.numpy
import seeded
from small_model import assert_same, create, values

import keras_mambaout


@pytest.fixture(scope="module")
def tensors(timm_shapes):
    return seeded.state(timm_shapes["mambaout_test"])


@pytest.fixture(scope="module")
def model():
    return create()


@pytest.fixture(scope="module")
def authors_file(tmp_path_factory, timm_shapes):
    """A file of the paper's variant with the authors' names, and the same under timm's names."""
    torch = pytest.importorskip("torch", reason="reading .pth files needs PyTorch")
    tensors = seeded.state(timm_shapes["mambaout_femto"])
    renamed = {}
    for name, value in tensors.items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
        name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)\.", r"stages.\1.\2.", name)
        name = re.sub(r"^head\.fc\.", "head.fc2.", name)
        name = re.sub(r"^head\.norm\.", "norm.", name)
        name = re.sub(r"^head\.pre_logits\.fc\.", "head.fc1.", name)
        name = re.sub(r"^head\.pre_logits\.norm\.", "head.norm.", name)
        renamed[name] = torch.from_numpy(value)
    path = tmp_path_factory.mktemp("authors") / "mambaout_femto.pth"
    torch.save({"model": renamed}, path)
    return str(path)


class Refused:
    """Asserts that loading these tensors, or these bytes, is one ValueError and changes nothing."""

    def __init__(self, model, path):
        self.model, self.path, self.before = model, str(path), values(model)

    def __call__(self, content, *facts):
        if isinstance(content, bytes):
            with open(self.path, "wb") as file:
                file.write(content)
        else:
            safetensors.numpy.save_file(content, self.path)
        with pytest.raises(ValueError) as error:
            keras_mambaout.load_weights(self.model, self.path)
        for fact in (self.path, *facts):
            assert fact in str(error.value)
        assert_same(self.model, self.before)


@pytest.fixture
def refused(model, tmp_path):
    return Refused(model, tmp_path / "weights.safetensors")


@pytest.mark.first_on("torch")
def test_every_missing_tensor_is_named(refused, tensors):
    for name in tensors:
        refused({other: value for other, value in tensors.items() if other != name}, "Missing in the file (1)", name)


def test_extra_tensor_is_named(refused, tensors):
    refused({**tensors, "head.extra": np.zeros(3, "float32")}, "Unused from the file (1)", "head.extra")


@pytest.mark.first_on("torch")
def test_every_wrong_shape_is_named(refused, tensors):
    for name, value in tensors.items():
        longer = np.concatenate([value, value[:1]])
        refused({**tensors, name: longer}, name)


def test_transposed_kernel_is_not_guessed(refused, tensors):
    swapped = np.ascontiguousarray(tensors["stages.0.blocks.0.fc1.weight"].T)
    refused({**tensors, "stages.0.blocks.0.fc1.weight": swapped}, "Of a different shape")


def test_integers_are_refused(refused, tensors):
    refused({**tensors, "head.fc.bias": tensors["head.fc.bias"].astype("int32")}, "floating point", "head.fc.bias")


def test_another_variant_is_refused(refused, timm_shapes):
    refused(seeded.state(timm_shapes["mambaout_femto"]), "Build the variant that the file was saved from")


@pytest.mark.first_on("torch")
def test_truncated_files(refused, tensors):
    content = safetensors.numpy.save(tensors)
    for cut in np.linspace(0, len(content) - 1, 50).astype(int):
        refused(content[:cut], "not a readable safetensors file")


@pytest.mark.first_on("torch")
def test_flipped_header_bytes(model, tensors, tmp_path):
    """A damaged header is refused or, where the damage is harmless (order of keys), loads the same."""
    content = safetensors.numpy.save(tensors)
    header = 8 + int.from_bytes(content[:8], "little")
    keras_mambaout.load_weights(model, _write(tmp_path / "whole.safetensors", content))
    expected = values(model)
    refusals = 0
    for place in np.random.RandomState(0).randint(0, header, 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (int(place) % 8)
        try:
            keras_mambaout.load_weights(model, _write(tmp_path / "damaged.safetensors", damaged))
        except ValueError:
            refusals += 1
        assert_same(model, expected)
    assert refusals > 250


def _write(path, content):
    path.write_bytes(content)
    return str(path)


def test_half_precision_files_load(model, tensors, tmp_path):
    path = tmp_path / "half.safetensors"
    safetensors.numpy.save_file({name: value.astype("float16") for name, value in tensors.items()}, path)
    keras_mambaout.load_weights(model, path)
    np.testing.assert_array_equal(model.get_layer("head").fc.bias.numpy(), tensors["head.fc.bias"].astype("float16"))


def test_other_classes_keep_a_fresh_last_layer(seeded_file, tensors, caplog):
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        model = create(seeded_file("mambaout_test"), classes=5)
    assert "head.fc.weight, head.fc.bias" in caplog.text
    head = model.get_layer("head")
    np.testing.assert_array_equal(head.pre_logits.kernel.numpy(), tensors["head.pre_logits.fc.weight"].T)
    assert head.fc.kernel.shape == (256, 5)
    np.testing.assert_array_equal(head.fc.bias.numpy(), 0)


def test_backbone_leaves_the_head_out_and_keeps_output_norms_fresh(seeded_file, tensors, caplog):
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        backbone = keras_mambaout.MambaOutBackbone(
            "mambaout_test", weights=seeded_file("mambaout_test"), output_norms=True
        )
    assert "output_norms.0.weight" in caplog.text and "head" not in caplog.text
    kernel = backbone.get_layer("stages_3_blocks_0").conv.kernel.numpy()
    np.testing.assert_array_equal(kernel, tensors["stages.3.blocks.0.conv.weight"].transpose(2, 3, 0, 1))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_first_kernel_is_adapted(seeded_file, tensors, channels, caplog):
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        backbone = keras_mambaout.MambaOutBackbone(
            "mambaout_test", input_shape=(None, None, channels), weights=seeded_file("mambaout_test")
        )
    assert f"to {channels} input channels" in caplog.text
    rgb = tensors["stem.conv1.weight"].transpose(2, 3, 1, 0)
    kernel = backbone.get_layer("stem").conv1.kernel.numpy()
    assert kernel.shape[2] == channels
    expected = rgb.sum(axis=2) if channels == 1 else rgb[:, :, 0] * 3 / channels
    np.testing.assert_allclose(kernel[:, :, 0], expected, rtol=1e-5, atol=1e-7)
    if channels == 6:  # the same image twice gives what the RGB image gives
        np.testing.assert_allclose(kernel[:, :, :3] + kernel[:, :, 3:], rgb, rtol=1e-6)


@pytest.mark.first_on("torch")
def test_grey_image_through_one_channel_equals_its_rgb_copy(seeded_file):
    weights = seeded_file("mambaout_test")
    grey = seeded.images(1, 64, 64, 1)
    one = create(weights, input_shape=(64, 64, 1), include_preprocessing=False).predict(grey, verbose=0)
    three = create(weights, include_preprocessing=False).predict(np.repeat(grey, 3, axis=-1), verbose=0)
    np.testing.assert_allclose(one, three, atol=1e-5)


@pytest.mark.first_on("torch")
def test_authors_file_loads_as_timms(authors_file, seeded_file):
    one = keras_mambaout.create_model("mambaout_femto", weights=authors_file)
    other = keras_mambaout.create_model("mambaout_femto", weights=seeded_file("mambaout_femto"))
    assert_same(one, values(other))


def test_damaged_authors_file(model, authors_file, tmp_path):
    with open(authors_file, "rb") as file:
        path = _write(tmp_path / "cut.pth", file.read()[:5000])
    before = values(model)
    with pytest.raises(ValueError, match="not a readable PyTorch file"):
        keras_mambaout.load_weights(model, path)
    assert_same(model, before)


def test_authors_file_without_torch_names_safetensors(model, authors_file, monkeypatch):
    real_import = builtins.__import__

    def import_without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_torch)
    with pytest.raises(ImportError, match=r"keras-mambaout\[torch\].*safetensors"):
        keras_mambaout.load_weights(model, authors_file)


def test_save_safetensors_is_the_way_back(tensors, seeded_file, tmp_path):
    path = tmp_path / "saved.safetensors"
    keras_mambaout.save_safetensors(create(seeded_file("mambaout_test")), path)
    saved = safetensors.numpy.load_file(path)
    assert saved.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(saved[name], value, err_msg=name)


def test_failed_write_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "saved.safetensors"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        keras_mambaout.save_safetensors(model, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["saved.safetensors"]


def test_save_to_a_wrong_place(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        keras_mambaout.save_safetensors(model, tmp_path / "model.bin")
    with pytest.raises(ValueError, match="There is no folder"):
        keras_mambaout.save_safetensors(model, tmp_path / "nowhere" / "model.safetensors")


def test_output_norms_are_saved_and_loaded(tmp_path):
    backbone = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
    backbone.get_layer("output_norms_1").gamma.assign(np.full(32, 2.0))
    path = tmp_path / "backbone.safetensors"
    keras_mambaout.save_safetensors(backbone, path)
    assert_same(keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True, weights=path), values(backbone))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imagenet", "none .this architecture has no published weights"),
        ("in21k", "Unknown weights 'in21k'"),
        ("nowhere/model.safetensors", "There is no weights file"),
        (7, "must be None, 'imagenet', a tag, 'hf://user/repo' or a path"),
    ],
)
def test_unknown_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        create(weights)


def test_unknown_tag_lists_the_tags():
    with pytest.raises(ValueError, match=r"'imagenet', 'sw_e150_in12k_ft_in1k', 'sw_e150_r384_in12k_ft_in1k'"):
        keras_mambaout.MambaOutBasePlusRW(weights="in1k")
