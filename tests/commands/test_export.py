"""`keras-mambaout export`, and `predict` with what it wrote."""

import json

import pytest
import seeded
from PIL import Image

from keras_mambaout import cli

pytestmark = pytest.mark.first_on("torch")


def test_export_and_predict(tmp_path, capsys):
    photo = tmp_path / "photos" / "photo.jpg"
    photo.parent.mkdir()
    Image.fromarray(seeded.photo(90, 120)).save(photo)
    output = tmp_path / "exported"
    options = ["--model", "mambaout_test", "--weights", "none", "--format", "onnx", "--size", "64"]
    assert cli.main(["export", *options, "--photos", str(photo.parent), "--output", str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(output / "model.onnx")
    assert "probabilities: at most" in lines[1] and "1 x 64 x 64 x 3" in lines[2]
    for model in (output, output / "model.onnx"):
        assert cli.main(["predict", str(photo), "--model", str(model), "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert len(found["predictions"]) == 5 and "synset" in found["predictions"][0]
    (output / "model.onnx").write_bytes(b"")
    assert cli.main(["predict", str(photo), "--model", str(output)]) == 1
    assert "model.onnx' has 0 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "x.keras", "--weights", "imagenet"], "--weights is for models by name"),
        (["--photos", "nowhere"], "There is no image"),
    ],
)
def test_wrong_options(options, message, tmp_path, capsys):
    assert cli.main(["export", "--format", "onnx", *options, "--output", str(tmp_path / "new")]) == 1
    assert message in capsys.readouterr().err
