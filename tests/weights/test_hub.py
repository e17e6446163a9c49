"""Downloading published weights, against a hub server on this machine."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_model
from hub_server import TEMPLATE, HubServer
from huggingface_hub import constants

import keras_mambaout
from keras_mambaout.weights.hub import DownloadError, HubRepository, download
from keras_mambaout.weights.pretrained import PUBLISHED, PublishedWeights

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show

FEMTO = HubRepository(PUBLISHED["mambaout_femto.in1k"].hub_id)
BRANCH = HubRepository(FEMTO.id, "branch")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer().connected(monkeypatch, tmp_path / "cache") as server:
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
    assert pathlib.Path(download(BRANCH)).read_bytes() == b"branch"


def test_token_is_sent(hub, monkeypatch):
    hub.users["hf_secret"] = ("me", False)
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


DOWNLOADER = """
import hashlib, sys
from keras_mambaout.weights.hub import DownloadError, HubRepository, download
print("ready", flush=True)
sys.stdin.readline()
try:
    print(hashlib.sha256(open(download(HubRepository(sys.argv[1])), "rb").read()).hexdigest())
except DownloadError as error:
    print(error)
"""


@pytest.mark.parametrize("fault", [None, "wrong hash"])
def test_two_processes_want_a_file_at_once(hub, tmp_path, fault):
    """One downloads it, the other waits until it is checked; one that is damaged is used by neither."""
    content = b"content" * 100_000
    hub.add(FEMTO.id, content)
    hub.fault, hub.pause = fault, 0.5
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    command = [sys.executable, "-c", DOWNLOADER, FEMTO.id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        assert [process.stdout.readline() for process in (first, second)] == ["ready\n"] * 2
        for process in (first, second):
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[0].strip() for process in (first, second)]
    downloads = [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]
    if fault is None:
        assert said == [hashlib.sha256(content).hexdigest()] * 2 and len(downloads) == 1
    else:
        assert all("arrived damaged and was deleted" in text for text in said) and len(downloads) == 2
        assert cached_files(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_read(hub, tmp_path, monkeypatch):
    hub.add(FEMTO.id, b"content")
    path = download(FEMTO)
    shutil.rmtree(tmp_path / "cache" / ".locks")
    (tmp_path / "cache" / ".locks").write_text("")  # a file, so that no lock can be made there
    assert download(FEMTO) == path


def test_truncated_file(hub, tmp_path):
    hub.add("timm/mambaout_femto.in1k", b"content" * 1000)
    hub.fault = "truncated"
    with pytest.raises(DownloadError, match=r"timm/mambaout_femto\.in1k"):
        download(FEMTO)
    assert cached_files(tmp_path) == []
    hub.fault = None
    assert pathlib.Path(download(FEMTO)).read_bytes() == b"content" * 1000


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        (FEMTO, r"model.safetensors of timm/mambaout_femto.in1k from http\S+: it has no such file\.$"),
        (BRANCH, "it has no branch, tag or commit 'branch'"),
        (HubRepository("timm/other"), "there is no such repository, or it is private: set HF_TOKEN"),
    ],
)
def test_not_found(hub, repository, reason):
    hub.add(FEMTO.id, b"content", name="other.bin")
    with pytest.raises(DownloadError, match=reason):
        download(repository)


def test_private_repositories_and_tokens(hub, monkeypatch):
    hub.add("me/mine", b"content", private=True)
    hub.users.update(hf_mine=("me", False), hf_other=("other", True))
    mine = HubRepository("me/mine")
    with pytest.raises(DownloadError, match="or it is private"):
        download(mine)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(DownloadError, match="or it is private"):
        download(mine)
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(DownloadError, match="your token is not valid"):
        download(mine)
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert pathlib.Path(download(mine)).read_bytes() == b"content"


def test_newest_file_and_without_the_hub_the_cached_one(hub, monkeypatch):
    hub.add("me/mine", b"first")
    mine = HubRepository("me/mine")
    first = download(mine, newest=True)
    hub.add("me/mine", b"second")
    assert download(mine) == first
    assert pathlib.Path(download(mine, newest=True)).read_bytes() == b"second"
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(endpoint="http://127.0.0.1:9"))
    assert pathlib.Path(download(mine, newest=True)).read_bytes() == b"second"


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@", "hf://a/b@../c", "hf://a/../b", "hf://a/b c", "hf://a--b/c"],
)
def test_malformed_addresses(address):
    with pytest.raises(ValueError, match=r"is no (repository of the hub: give user/repo|branch, tag or commit of a/b)"):
        keras_mambaout.create_model("mambaout_test", weights=address)


def test_weights_of_a_repository(hub, tmp_path):
    """With and without timm's config.json, in a model of as many classes and of others, and in a backbone."""
    model = small_model.create(classes=3)
    model.inference_settings = {"class_names": ["a", "b", "c"], "image_size": 64, "crop_pct": 0.9}
    folder = pathlib.Path(keras_mambaout.save_for_hub(model, tmp_path / "folder"))
    weights = (folder / "model.safetensors").read_bytes()
    hub.add("me/bare", weights)
    hub.add("me/whole", weights)
    hub.add("me/whole", (folder / "config.json").read_bytes(), name="config.json")
    bare = small_model.create(weights="hf://me/bare", classes=3)
    small_model.assert_same(bare, small_model.values(model))
    assert bare.inference_settings.class_names is None
    whole = small_model.create(weights="hf://me/whole@main", classes=3)
    small_model.assert_same(whole, small_model.values(model))
    assert whole.inference_settings.to_dict() == {**model.inference_settings.to_dict(), "crop_mode": "center"}
    backbone = keras_mambaout.MambaOutBackbone("mambaout_test", weights="hf://me/whole")
    small_model.assert_same(backbone, small_model.values(model.backbone))
    other = small_model.create(classes=5)
    assert keras_mambaout.load_weights(other, "hf://me/whole", "main") == ["head.fc.weight", "head.fc.bias"]
    assert other.inference_settings.class_names is None and other.inference_settings.image_size == 64
    with pytest.raises(ValueError, match="hf://me/whole has the weights of mambaout_test: build that model"):
        keras_mambaout.MambaOutBackbone("mambaout_femto", weights="hf://me/whole")
    with pytest.raises(ValueError, match="Give one revision: hf://me/whole@main names one"):
        keras_mambaout.load_weights(other, "hf://me/whole@main", "branch")


def test_no_server(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(endpoint="http://127.0.0.1:9"))
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
