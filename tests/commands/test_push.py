"""`keras-mambaout push`, and what was pushed as the model of the other commands."""

import json

import pytest
import seeded
import small_model
from hub_server import HubServer
from PIL import Image

import keras_mambaout
from keras_mambaout.cli import main

pytestmark = pytest.mark.first_on("torch")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer().connected(monkeypatch, tmp_path / "cache") as server:
        server.users["hf_me"] = ("me", True)
        yield server


@pytest.fixture
def file(tmp_path):
    model = small_model.create(classes=3)
    model.inference_settings = {"class_names": ["a", "b", "c"], "image_size": 64}
    model.save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


def test_write_push_and_predict(hub, file, tmp_path, monkeypatch, capsys):
    (tmp_path / "metrics.json").write_text('{"top1": 0.875, "images": 8}')
    options = [
        "--model",
        file,
        "--repo",
        "me/flowers",
        "--metrics",
        str(tmp_path / "metrics.json"),
        "--dataset",
        "mine",
    ]
    assert main(["push", *options, "--output", str(tmp_path / "folder")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'folder'}\n"
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    assert main(["push", *options, "--private", "--message", "Three flowers"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/me/flowers\n"
    assert hub.messages == ["Three flowers"] and hub.repositories["me/flowers"]["private"]
    for name in ("README.md", "config.json", "model.safetensors"):
        assert hub.files("me/flowers")[name] == (tmp_path / "folder" / name).read_bytes()

    photo = str(tmp_path / "photo.png")
    Image.fromarray(seeded.photo(70, 80)).save(photo)
    found = []
    for model in (file, "hf://me/flowers", str(tmp_path / "folder")):
        assert main(["predict", photo, "--model", model, "--top", "3", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    assert found[0] == found[1] == found[2] and {row["name"] for row in found[0]} == {"a", "b", "c"}


def test_errors_are_one_line(hub, file, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text("top1 0.875")
    push = ["push", "--model", file, "--repo", "me/flowers"]
    for arguments, message in (
        (push, "Could not push to me/flowers: set HF_TOKEN"),
        ([*push[:-1], "flowers"], "'flowers' is no repository of the hub"),
        ([*push, "--metrics", str(tmp_path / "metrics.json")], "is no JSON file, as evaluate --json prints it"),
        (["push", "--model", "mambaout_tiny", "--repo", "me/flowers"], "'mambaout_tiny' is not a .keras file"),
        (["predict", "photo.jpg", "--model", "hf://me/flowers"], "there is no such repository, or it is private"),
        (["predict", "photo.jpg", "--model", "hf://flowers"], "'flowers' is no repository of the hub"),
        (["predict", "photo.jpg", "--model", "flowers"], "the path of a .keras file, or hf://user/repo"),
        (["compare", "--model", "hf://me/flowers"], "there is no such repository, or it is private"),
    ):
        assert main(arguments) == 1, arguments
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error


@pytest.mark.exhaustive
def test_compare(hub, file, tmp_path, monkeypatch, capsys):
    keras_mambaout.push_to_hub(keras_mambaout.load_model(file), "me/flowers", token="hf_me")
    command = ["compare", "--model", "hf://me/flowers", "--backends", "torch", "--batch-size", "2", "--size", "32"]
    assert main([*command, "--steps", "1", "--output", str(tmp_path / "compare")]) == 0
    assert "hf://me/flowers" in capsys.readouterr().out
