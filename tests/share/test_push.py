"""Uploading to a hub on this machine, and loading from there."""

import logging
import pathlib

import keras
import numpy as np
import pytest
import small_model
import small_segmenter
from hub_server import HubServer
from huggingface_hub import constants

import keras_mambaout
from keras_mambaout import DownloadError, UploadError, push_to_hub

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, test_cross_backend shows

SETTINGS = {"class_names": ["a", "b", "c"], "image_size": 64, "crop_pct": 0.9, "crop_mode": "center"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer().connected(monkeypatch, tmp_path / "cache") as server:
        server.users.update(hf_me=("me", True), hf_reader=("me", False), hf_other=("other", True))
        yield server


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = small_model.create(classes=3)
    model.inference_settings = SETTINGS
    return model


def test_push_and_load(hub, model, images, monkeypatch):
    url = push_to_hub(model, "me/flowers", token="hf_me", commit_message="Three flowers")
    assert url == f"{hub.url}/me/flowers" and hub.messages == ["Three flowers"]
    assert set(hub.files("me/flowers")) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    same = keras_mambaout.load_model("hf://me/flowers")  # public: without a token
    np.testing.assert_array_equal(small_model.predict(same, images), small_model.predict(model, images))
    assert same.inference_settings.to_dict() == SETTINGS
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    small_model.assert_same(keras_mambaout.load_model("hf://me/flowers"), small_model.values(model))
    assert hub.requests == []


def test_a_repository_that_exists(hub, model, caplog):
    """A model of the other format replaces the first; the card and other files stay; the history has all."""
    hub.add("me/flowers", b"by hand", name="README.md")
    hub.add("me/flowers", b"notes", name="notes.txt")
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        push_to_hub(model, "me/flowers", token="hf_me")
    assert "The model card of me/flowers stays as it is; `overwrite_card=True`" in caplog.text
    first = hub.repositories["me/flowers"]["branches"]["main"]
    assert hub.files("me/flowers")["README.md"] == b"by hand"
    push_to_hub(small_segmenter.create(num_classes=3), "me/flowers", token="hf_me", overwrite_card=True)
    files = hub.files("me/flowers")
    assert set(files) == {"README.md", "notes.txt", "model.keras"}
    assert b"pipeline_tag: image-segmentation" in files["README.md"]
    assert type(keras_mambaout.load_model("hf://me/flowers")).__name__ == "UperNet"
    small_model.assert_same(keras_mambaout.load_model(f"hf://me/flowers@{first}"), small_model.values(model))


def test_branches(hub, model):
    hub.add("me/flowers", b"", name="notes.txt")
    url = push_to_hub(model, "me/flowers", token="hf_me", revision="v2")
    push_to_hub(model, "me/flowers", token="hf_me", revision="v2")
    assert url == f"{hub.url}/me/flowers/tree/v2"
    assert "model.safetensors" not in hub.files("me/flowers")
    assert b"hf://me/flowers@v2" in hub.files("me/flowers", "v2")["README.md"]
    keras_mambaout.load_model("hf://me/flowers@v2")
    with pytest.raises(DownloadError, match=r"has no model of this package: neither model.keras, nor config.json with"):
        keras_mambaout.load_model("hf://me/flowers")
    with pytest.raises(DownloadError, match="it has no branch, tag or commit 'v3'"):
        keras_mambaout.load_model("hf://me/flowers@v3")


def test_private_repositories(hub, model, monkeypatch):
    hub.add("me/open", b"", name="notes.txt")
    with pytest.raises(UploadError, match="me/open exists and is public: make it private"):
        push_to_hub(model, "me/open", token="hf_me", private=True)
    assert set(hub.files("me/open")) == {"notes.txt"}
    push_to_hub(model, "me/secret", token="hf_me", private=True)
    assert hub.repositories["me/secret"]["private"]
    with pytest.raises(DownloadError, match="or it is private: set HF_TOKEN or run `hf auth login`"):
        keras_mambaout.load_model("hf://me/secret")
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    keras_mambaout.load_model("hf://me/secret")
    push_to_hub(model, "me/secret", private=True)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "Could not push to me/flowers: set HF_TOKEN, run `hf auth login`, or pass `token`"),
        ("hf_old", "your token is not valid: make a new one"),
        ("hf_reader", "your token does not permit it: make one with access to me/flowers"),
        ("hf_other", "your token does not permit it"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_who_may_not_push(hub, model, token, message, exists):
    if exists:
        hub.add("me/flowers", b"", name="notes.txt")
    with pytest.raises(UploadError, match=message) as error:
        push_to_hub(model, "me/flowers", token=token)
    assert "\n" not in str(error.value)
    assert "me/flowers" not in hub.repositories or set(hub.files("me/flowers")) == {"notes.txt"}


def test_no_hub(hub, model, monkeypatch):
    hub.fault = "error"
    with pytest.raises(UploadError, match=r"Could not push to me/flowers on http.*: the hub refused it: .*500"):
        push_to_hub(model, "me/flowers", token="hf_me")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UploadError, match="ConnectError"):
        push_to_hub(model, "me/flowers", token="hf_me")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UploadError, match="HF_HUB_OFFLINE is set"):
        push_to_hub(model, "me/flowers", token="hf_me")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        keras_mambaout.load_model("hf://me/flowers")


def test_wrong_arguments(hub, model):
    with pytest.raises(ValueError, match="'flowers' is no repository of the hub"):
        push_to_hub(model, "flowers", token="hf_me")
    with pytest.raises(ValueError, match="`commit_message` must say what the commit does, got ''"):
        push_to_hub(model, "me/flowers", token="hf_me", commit_message="")
    with pytest.raises(ValueError, match="`license` must be"):
        push_to_hub(model, "me/flowers", token="hf_me", license="")
    assert hub.requests == []


def test_files_of_others(hub, model, tmp_path):
    """What a repository holds is read, and nothing that it names is imported or opened."""
    for name, content, message in (
        ("config.json", b'{"architecture": "resnet50"}', "`architecture` must be one of .* got 'resnet50'"),
        ("config.json", b"<html>", "is not timm's config.json of a MambaOut classifier: Expecting value"),
        ("model.keras", b"no archive", "is not a .keras file"),
    ):
        hub.add("them/model", content, name=name)
        with pytest.raises(ValueError, match=message):
            keras_mambaout.load_model("hf://them/model")
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "unsafe.keras")
    hub.add("them/unsafe", pathlib.Path(tmp_path / "unsafe.keras").read_bytes(), name="model.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        keras_mambaout.load_model("hf://them/unsafe")
