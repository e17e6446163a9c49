"""The command line as a user types it."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import seeded
from hub_server import HubServer
from PIL import Image

import keras_mambaout
from keras_mambaout.cli import main
from keras_mambaout.config import VARIANTS

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(seeded.photo(80, 100)).save(path)
    return str(path)


def predict(*arguments):
    return main(["predict", "--model", "mambaout_test", *arguments])


def test_predict_prints_what_the_model_says(photo, seeded_file, capsys):
    weights = seeded_file("mambaout_test")
    assert predict(photo, photo, "--weights", weights, "--top", "3", "--size", "96", "--json", "--batch-size", "1") == 0
    results = json.loads(capsys.readouterr().out)
    model = keras_mambaout.create_model("mambaout_test", weights=weights)
    image = keras_mambaout.resize_and_center_crop(keras_mambaout.load_image(photo), 96)
    expected = keras_mambaout.decode_predictions(model.predict(image[None], verbose=0), top=3)[0]
    assert [result["image"] for result in results] == [photo, photo]
    for result in results:
        assert [(p["synset"], p["name"]) for p in result["predictions"]] == [e[:2] for e in expected]
        np.testing.assert_allclose([p["score"] for p in result["predictions"]], [e[2] for e in expected], rtol=1e-4)


def test_predict_as_text(photo, seeded_file, capsys):
    assert predict(photo, "--weights", seeded_file("mambaout_test"), "--top", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == photo and len(lines) == 3 and all("%" in line for line in lines[1:])


@pytest.mark.no_backend
def test_list(capsys):
    assert main(["list"]) == 0
    output = capsys.readouterr().out
    assert all(variant in output for variant in VARIANTS)
    assert "26.5 M  in1k" in output and "87.51   98.43" in output
    assert "134.9 M  sw_e150_in12k " in output  # with the 11,821 classes of that file
    assert main(["list", "*kobe"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere.jpg", "--model", "mambaout_test", "--weights", "SEEDED"], "no image file 'nowhere.jpg'"),
        (["predict", "PHOTO", "--model", "mambaout_huge"], "Unknown model 'mambaout_huge': give one of mambaout_femto"),
        (["predict", "PHOTO", "--model", "mambaout_test"], "no published weights"),
        (
            ["predict", "PHOTO", "--model", "mambaout_test", "--classes", "x"],
            "--classes is for .keras files; mambaout_test has the classes of",
        ),
        (["list", "resnet*"], "No model matches 'resnet*'"),
    ],
)
def test_errors_are_one_line(arguments, message, photo, seeded_file, capsys):
    values = {"PHOTO": photo, "SEEDED": seeded_file("mambaout_test")}
    assert main([values.get(argument, argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("keras-mambaout: error: ") and message in captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_weights_without_the_imagenet_classes_are_refused(photo, tmp_path, capsys):
    path = str(tmp_path / "five.safetensors")
    keras_mambaout.save_safetensors(keras_mambaout.create_model("mambaout_test", weights=None, classes=5), path)
    assert predict(photo, "--weights", path) == 1
    assert "no classifier of the 1000 ImageNet classes" in capsys.readouterr().err


def test_installed_command_downloads_from_the_hub_of_the_environment(photo, seeded_file, tmp_path):
    """As from a shell: HF_ENDPOINT names the hub, HF_HOME the cache, and stdout holds the JSON alone."""
    with HubServer() as hub:
        hub.add("timm/mambaout_femto.in1k", pathlib.Path(seeded_file("mambaout_femto")).read_bytes())
        hub.users["hf_mine"] = ("me", False)
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_mine"}
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-m", "keras_mambaout", "predict", photo, "--model", "mambaout_femto", "--json"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "Bearer hf_mine" in hub.tokens
    assert len(json.loads(result.stdout)[0]["predictions"]) == 5
    assert list((tmp_path / "home").rglob("model.safetensors"))


@pytest.mark.no_backend
@pytest.mark.parametrize("text", ["", "what is kept"])
def test_ctrl_c_is_one_line(text, monkeypatch, capsys):
    def run(args):
        raise KeyboardInterrupt(*[text] * bool(text))

    monkeypatch.setattr("keras_mambaout.commands.list.run", run)
    assert main(["list"]) == 130
    assert capsys.readouterr() == ("", f"keras-mambaout: interrupted{': ' * bool(text)}{text}.\n")
