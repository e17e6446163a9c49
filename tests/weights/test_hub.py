"""Downloading published weights, against a hub server on this machine."""

import dataclasses
import pathlib

import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import constants

import keras_mambaout
from keras_mambaout.weights.hub import DownloadError, download
from keras_mambaout.weights.pretrained import PUBLISHED, PublishedWeights

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show

URL = "{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"  # the hub library's own template
FEMTO = PUBLISHED["mambaout_femto.in1k"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", URL.format(endpoint=server.url))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def cached_files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".safetensors"]


def test_download_then_cache_without_request(hub):
    hub.add("timm/mambaout_femto.in1k", b"content" * 1000)
    path = download(FEMTO)
    assert pathlib.Path(path).read_bytes() == b"content" * 1000
    assert any(request.startswith("GET") for request in hub.requests)
    hub.requests.clear()
    assert download(FEMTO) == path
    assert hub.requests == []


def test_revision(hub):
    hub.add("timm/mambaout_femto.in1k", b"main")
    hub.add("timm/mambaout_femto.in1k", b"branch", revision="branch")
    assert pathlib.Path(download(FEMTO, revision="branch")).read_bytes() == b"branch"


def test_token_is_sent(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add("timm/mambaout_femto.in1k", b"content")
    download(FEMTO)
    assert "Bearer hf_secret" in hub.tokens


def test_wrong_hash_is_deleted_and_can_be_downloaded_again(hub, tmp_path):
    hub.add("timm/mambaout_femto.in1k", b"content" * 1000)
    hub.fault = "wrong hash"
    with pytest.raises(DownloadError, match="SHA-256"):
        download(FEMTO)
    assert cached_files(tmp_path) == []
    hub.fault = None
    assert pathlib.Path(download(FEMTO)).read_bytes() == b"content" * 1000


def test_truncated_file(hub, tmp_path):
    hub.add("timm/mambaout_femto.in1k", b"content" * 1000)
    hub.fault = "truncated"
    with pytest.raises(DownloadError, match=r"timm/mambaout_femto\.in1k"):
        download(FEMTO)
    assert cached_files(tmp_path) == []
    hub.fault = None
    assert pathlib.Path(download(FEMTO)).read_bytes() == b"content" * 1000


@pytest.mark.parametrize("repository", ["timm/mambaout_femto.in1k", "timm/other"])
def test_not_found(hub, repository):
    hub.add(repository, b"content", name="other.bin")
    with pytest.raises(DownloadError, match="the hub refused it: 404"):
        download(FEMTO)


def test_no_server(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", URL.format(endpoint="http://127.0.0.1:9"))
    with pytest.raises(DownloadError) as error:
        keras_mambaout.MambaOutFemto(weights="imagenet")
    for fact in ("timm/mambaout_femto.in1k", str(tmp_path / "cache"), "weights='/path/to/model.safetensors'"):
        assert fact in str(error.value)
    assert "\n" not in str(error.value)


def test_offline_mode(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        download(FEMTO)
    assert hub.requests == []


def test_offline_mode_uses_the_cache(hub, monkeypatch):
    hub.add("timm/mambaout_femto.in1k", b"content")
    path = download(FEMTO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(FEMTO) == path


def test_weights_imagenet_loads_what_the_hub_serves(hub, seeded_file, monkeypatch):
    """From `weights="imagenet"` to logits, with a file as large as the real one."""
    content = pathlib.Path(seeded_file("mambaout_femto")).read_bytes()
    hub.add("timm/mambaout_femto.in1k", content)
    published = keras_mambaout.MambaOutFemto(weights="imagenet", input_shape=(64, 64, 3))
    local = keras_mambaout.MambaOutFemto(weights=seeded_file("mambaout_femto"), input_shape=(64, 64, 3))
    for one, other in zip(published.weights, local.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    settings = published.inference_settings
    assert (settings.image_size, settings.crop_pct, settings.crop_mode) == (224, 1.0, "center")
    assert settings.class_names[:2] == ("tench", "goldfish") and local.inference_settings.image_size is None
    own = keras_mambaout.MambaOutFemto(weights="imagenet", input_shape=(64, 64, 3), classes=3)
    assert own.inference_settings == dataclasses.replace(settings, class_names=None)


def test_the_table_names_hub_repositories():
    assert len(PUBLISHED) == 12
    for name, entry in PUBLISHED.items():
        assert isinstance(entry, PublishedWeights) and entry.hub_id == f"timm/{name}"
    assert keras_mambaout.list_weights("*plus*r384*") == ["mambaout_base_plus_rw.sw_e150_r384_in12k_ft_in1k"]
