"""`train classification`, and `evaluate` and `predict` with a classifier, as a user types them."""

import contextlib
import io
import json
import os

import keras
import numpy as np
import pytest
import seeded
from PIL import Image

from keras_mambaout import create_model
from keras_mambaout.cli import main
from keras_mambaout.commands import training
from keras_mambaout.models.saved import load_model
from keras_mambaout.preprocessing.imagenet import resize_and_center_crop

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show

SMALL = ["--model", "mambaout_test", "--weights", "none", "--image-size", "32", "--batch-size", "4", "--devices", "1"]


def write_images(folder, classes, count):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(seeded.photo(40 + number, 48) // 2 + 100 * label).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes with ten pictures each."""
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder, ("dark", "light"), 10)
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """The folder of a run of the command, on pictures one of which is damaged."""
    data, output = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out") / "run"
    write_images(data / "train", ("dark", "light"), 6)
    write_images(data / "val", ("dark", "light"), 3)
    (data / "train" / "dark" / "5.png").write_bytes(b"no image")
    arguments = [
        "train",
        "classification",
        *SMALL,
        "--data",
        str(data),
        "--epochs",
        "2",
        "--output",
        str(output),
        "--accumulate",
        "2",
    ]
    arguments += ["--learning-rate", "1e-3", "--drop-path", "0.1", "--clip-norm", "1"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(arguments) == 0
    return data, output, arguments, printed.getvalue()


def test_train_prints_what_it_did(trained, capsys):
    data, output, arguments, printed = trained
    settings = json.loads((output / "settings.json").read_text())
    recipe = settings["recipe"]
    assert (recipe["epochs"], recipe["batch_size"], recipe["image_size"]) == (2, 4, 32)
    assert recipe["base_learning_rate"] == 1e-3 and recipe["base_batch_size"] == 4
    assert recipe["warmup_epochs"] == pytest.approx(0.2) and recipe["clip_norm"] == 1
    assert settings["accumulate"] == 2 and settings["images"] == 12
    assert (
        "mambaout_test: 12 images for training, 6 for validation, 2 classes; 2 epochs in batches of 4 on 1 device,"
        in printed
    )
    unreadable = f"1 of 12 images for training are unreadable and were left out:\n  {data}/train/dark/5.png"
    assert unreadable in printed
    assert "validation accuracy: best" in printed and f"written: {output}/best.keras" in printed

    assert main([*arguments, "--resume"]) == 0  # it is finished, and says the same
    last = [line for line in printed.splitlines() if line.startswith("validation accuracy")]
    assert last == [line for line in capsys.readouterr().out.splitlines() if line.startswith("validation accuracy")]


def test_evaluate_the_trained_model(trained, tmp_path, capsys):
    data, output, *_ = trained
    arguments = [
        "evaluate",
        "--model",
        str(output / "last.keras"),
        "--data",
        str(data / "val"),
        "--batch-size",
        "4",
    ]
    assert main([*arguments, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    rows = (output / "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert metrics["images"] == 6
    assert metrics["top1"] == pytest.approx(float(last["val_accuracy"]))
    assert [row["name"] for row in metrics["classes"]] == ["dark", "light"]
    picture = tmp_path / "confusion.png"
    assert main([*arguments, "--crop-pct", "0.9", "--confusion-matrix", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "% of 6 images" in lines[0] and lines[1].split() == ["class", "accuracy", "images", "mostly", "taken", "for"]
    assert [line.split()[::2][:2] for line in lines[2:4]] == [["dark", "3"], ["light", "3"]]
    assert Image.open(picture).width > 2 * 34 and lines[4].endswith(str(picture))


def test_predict_with_the_trained_model(trained, tmp_path, capsys):
    """It knows its size and its classes, whatever lies beside it; `--classes` gives them other names."""
    data, output, *_ = trained
    photo, path = str(data / "val" / "light" / "0.png"), str(output / "last.keras")
    arguments = ["predict", photo, photo, "--batch-size", "1", "--model"]
    assert main([*arguments, path, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    image = resize_and_center_crop(np.asarray(Image.open(photo).convert("RGB")), 32)
    probabilities = load_model(path).predict(image[None], verbose=0)[0].tolist()
    expected = sorted(zip(probabilities, ("dark", "light"), strict=True), reverse=True)
    assert [result["image"] for result in results] == [photo, photo]
    for result in results:
        assert [row["name"] for row in result["predictions"]] == [name for _, name in expected]
        assert [row["score"] for row in result["predictions"]] == pytest.approx([p for p, _ in expected], rel=1e-4)

    alone, names = tmp_path / "alone.keras", tmp_path / "names.txt"
    alone.write_bytes((output / "last.keras").read_bytes())
    names.write_text("night\nday\n")
    best = int(np.argmax(probabilities))
    for options, name in (([], ("dark", "light")[best]), (["--classes", str(names)], ("night", "day")[best])):
        assert main([*arguments, str(alone), "--top", "1", *options]) == 0
        assert capsys.readouterr().out.splitlines()[:2] == [photo, f"  {probabilities[best]:7.2%}  {name}"]


def test_a_model_of_another_class_is_named_by_the_file_beside_it(photos, tmp_path, capsys):
    """A `keras.Model` of one's own carries nothing: `train` wrote `classes.txt`; without it there are numbers."""
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "own.keras")
    command = ["predict", str(photos / "dark" / "0.png"), "--model", str(tmp_path / "own.keras"), "--size", "32"]
    for names in (["night", "day"], ["0", "1"]):
        if names[0] == "night":
            (tmp_path / "classes.txt").write_text("night\nday\n")
        else:
            (tmp_path / "classes.txt").unlink()
        assert main([*command, "--json"]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        assert sorted(row["name"] for row in result["predictions"]) == sorted(names)


def test_classes_of_a_model_name_those_of_the_images(trained, tmp_path, capsys):
    _, output, *_ = trained
    write_images(tmp_path / "other", ("cat", "dog"), 2)
    arguments = ["evaluate", "--model", str(output / "last.keras"), "--data"]
    assert main([*arguments, str(tmp_path / "other")]) == 1
    assert "sub-folders" in capsys.readouterr().err
    write_images(tmp_path / "part", ("light",), 2)
    assert main([*arguments, str(tmp_path / "part"), "--json"]) == 0  # one class of the two
    assert json.loads(capsys.readouterr().out)["images"] == 2


def test_preview_draws_and_does_not_train(photos, tmp_path, capsys):
    picture = tmp_path / "pictures" / "augmented.png"
    arguments = [*SMALL, "--data", str(photos), "--output", str(tmp_path / "run"), "--recipe", "paper"]
    assert main(["train", "classification", *arguments, "--preview", str(picture)]) == 0
    assert "18 training images as the model gets them" in capsys.readouterr().out  # a tenth is held out
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape[0] > 300 and pixels.std() > 20
    assert os.listdir(tmp_path) == ["pictures"]


def test_arguments_reach_the_training(photos, tmp_path, monkeypatch, capsys):
    given = {}

    def train(model, recipe, data, val_data, output, **options):
        given.update(locals() | options)
        return {"val_accuracy": [0.25, 0.75, 0.5]}

    monkeypatch.setattr(training, "train", train)
    arguments = [*SMALL, "--data", str(photos), "--output", str(tmp_path), "--recipe", "paper", "--ema", "--seed", "7"]
    assert main(["train", "classification", *arguments, "--strict", "--resume", "--precision", "mixed_bfloat16"]) == 0
    assert (given["strict"], given["resume"], given["seed"], given["accumulate"]) == (True, True, 7, 1)
    assert given["weights"] == "none"  # SMALL says so
    recipe = given["recipe"]
    assert (recipe.ema_momentum, recipe.epochs, recipe.augmentation.mixup) == (0.9999, 300, 0.8)
    assert recipe.learning_rate == 4e-3 * 4 / 4096
    assert given["model"].dtype_policy.name == "mixed_bfloat16" and given["model"].classes == 2
    assert (len(given["data"]), len(given["val_data"])) == (18, 2)
    assert "validation accuracy: best 75.00% in epoch 2, last 50.00%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--data", "nowhere-to-be-found"], "nowhere-to-be-found"),
        (["--data", "PHOTOS", "--accumulate", "3"], "4 images does not go into 3 accumulated steps"),
        (["--data", "PHOTOS", "--weights", "no_such_tag"], "Unknown weights 'no_such_tag'"),
        (["--data", "EMPTY"], "is an empty class folder"),
        (["--data", "ONE"], "A classifier needs two classes or more"),
        (["--data", "HALF"], "has a folder 'train', but none of 'val', 'valid', 'validation', 'test'"),
    ],
)
def test_errors(photos, tmp_path, capsys, arguments, match):
    write_images(tmp_path / "EMPTY", ("a", "b"), 2)
    (tmp_path / "EMPTY" / "c").mkdir()
    write_images(tmp_path / "ONE", ("a",), 2)
    write_images(tmp_path / "HALF" / "train", ("a", "b"), 2)
    known = {"PHOTOS": photos, **{name: tmp_path / name for name in ("EMPTY", "ONE", "HALF")}}
    arguments = [str(known.get(argument, argument)) for argument in arguments]
    assert main(["train", "classification", *SMALL, "--output", str(tmp_path / "run"), *arguments]) == 1
    printed = capsys.readouterr().err.splitlines()[-1]
    assert printed.startswith("keras-mambaout: error: ") and match in printed
    assert not (tmp_path / "run").exists()


def test_evaluate_errors(trained, capsys):
    data, output, *_ = trained
    saved = ["evaluate", "--model", str(output / "last.keras"), "--data", str(data / "val")]
    for arguments, message in (
        (["evaluate", "--model", "mambaout_test"], "Give --data: a folder of class folders"),
        ([*saved, "--weights", "imagenet"], "--weights is for models by name"),
        ([*saved, "--split", "test"], f"--split: for TensorFlow Datasets only, and '{data}/val' is a folder"),
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_models_of_no_task(tmp_path, capsys):
    """Features are not classes, and neither is what does not come from images."""
    create_model("mambaout_test", include_top=False, weights=None, pooling="avg").save(tmp_path / "features.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    for name, kind in (("features", "MambaOutBackbone"), ("other", "Sequential")):
        assert main(["predict", "photo.png", "--model", str(tmp_path / f"{name}.keras")]) == 1
        error = capsys.readouterr().err
        assert f"holds a {kind}. It must hold an image classifier, an object detector or a UperNet." in error
