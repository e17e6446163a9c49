"""`compare_backends` on all three backends: its numbers recomputed, its failures and disagreements found."""

import json
import sys

import keras
import numpy as np
import pytest
from paths import ROOT
from PIL import Image

import keras_mambaout
from keras_mambaout.cli import main
from keras_mambaout.compare import compare_backends, run
from keras_mambaout.compare.differences import relative_difference
from keras_mambaout.integrations.keras_cv import retinanet

SETTINGS = {"batch_size": 3, "size": 64, "steps": 3}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four images in two class folders."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat/a.png", "cat/b.jpg", "dog/c.png", "dog/d.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (70, 90, 3), dtype="uint8")).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A user's model: a `.keras` file, three classes, probabilities."""
    path = tmp_path_factory.mktemp("saved") / "mine.keras"
    keras.utils.set_random_seed(1)
    model = keras_mambaout.create_model("mambaout_test", weights=None, classes=3, input_shape=(64, 64, 3))
    model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def report(saved, photos, output):
    return compare_backends(saved, images=photos, output=output, verbose=False, **SETTINGS)


def test_report_is_whole(report, output):
    assert list(report["backends"]) == ["tensorflow", "jax", "torch"]
    assert report["agree"] and report["disagreements"] == []
    for backend, row in report["backends"].items():
        assert row["versions"][backend] and row["device"]
        assert row["build_s"] > 0 and row["peak_memory_bytes"] > 1e8
        for timing in (row["forward"], row["train_step"]):
            assert timing["first_s"] > 0 and len(timing["times_s"]) == 3
            low, high = timing["quartiles_s"]
            assert min(timing["times_s"]) <= low <= timing["median_s"] <= high <= max(timing["times_s"])
            assert timing["median_s"] == np.median(timing["times_s"])
            assert timing["images_per_s"] == pytest.approx(3 / timing["median_s"])
    assert report["backends"]["jax"]["depthwise_conv"] == "shifted"
    assert json.loads((output / "compare.json").read_text()) == json.loads(json.dumps(report))
    text = (output / "compare.md").read_text()
    assert "| tensorflow / jax " in text and "The backends agree." in text
    with Image.open(output / "compare.png") as picture:
        assert picture.size[0] > 1000 and len(picture.convert("L").getcolors()) > 20
    assert sorted(file.name for file in output.iterdir()) == ["compare.json", "compare.md", "compare.png"]


def test_losses_are_those_of_plain_keras(report, saved, photos):
    """Recomputed in this process, step by step, with a different loop."""
    files = ["cat/a.png", "cat/b.jpg", "dog/c.png"]
    images = np.stack([keras_mambaout.load_image(photos / file) for file in files])
    images = np.stack([keras_mambaout.resize_and_center_crop(image, 64) for image in images]).astype("float32")
    labels = np.array([0, 0, 1])
    model = keras.models.load_model(saved)
    model.compile(keras.optimizers.AdamW(1e-4), loss="sparse_categorical_crossentropy")
    losses = []
    for _ in range(3):
        probabilities = model.predict(images, verbose=0)
        losses.append(-np.log(probabilities[np.arange(3), labels]).mean())
        model.train_on_batch(images, labels)
    for row in report["backends"].values():
        np.testing.assert_allclose(row["losses"], losses, rtol=1e-4)
    assert losses[-1] < losses[0]


def test_differences_are_those_of_the_arrays(report):
    pairs = {tuple(pair["backends"]): pair for pair in report["differences"]}
    assert set(pairs) == {("tensorflow", "jax"), ("tensorflow", "torch"), ("jax", "torch")}
    for (first, second), pair in pairs.items():
        names = [name.split(" ", 1)[1] for name in pair["layers"]]
        assert names[1:3] == ["stem", "stages_0_blocks_0"] and names[-1] == "predictions"
        assert pair["outputs"] == pair["layers"][max(pair["layers"])] < 1e-4
        assert max(pair["gradients"].values()) < 1e-3 and len(pair["gradients"]) > 50
        a, b = (np.array(report["backends"][backend]["losses"]) for backend in (first, second))
        assert pair["losses"] == np.abs(a - b).max() / np.abs(b).max()


def test_relative_difference():
    assert relative_difference(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert relative_difference(np.array([0.25]), np.array([0.0])) == 0.25
    assert relative_difference(np.array([np.nan]), np.array([0.0])) == float("inf")
    assert relative_difference(np.ones(2), np.ones(3)) == float("inf")


def test_a_wrong_backend_is_found_and_its_first_layer_named(saved, tmp_path, capsys, monkeypatch):
    right = run.keras_worker_command

    def command(backend):
        wrong = [sys.executable, str(ROOT / "tests" / "helpers" / "wrong_worker.py"), "stages_1_blocks_0"]
        return (wrong if backend == "torch" else right(backend)[0]), right(backend)[1]

    monkeypatch.setattr(run, "keras_worker_command", command)
    arguments = ["compare", "--model", saved, "--backends", "tensorflow,torch", "--steps", "1", "--size", "64"]
    arguments += ["--batch-size", "1", "--output", str(tmp_path)]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "tensorflow and torch differ first in the output of layer stages_1_blocks_0" in printed
    report = json.loads((tmp_path / "compare.json").read_text())
    assert not report["agree"] and "stages_1_blocks_0" in report["disagreements"][0]


@pytest.mark.exhaustive
def test_a_detector(tmp_path):
    """A model with several outputs and without a loss: its network is compared, layer by layer."""
    path = tmp_path / "detector.keras"
    retinanet("mambaout_test", num_classes=3, weights=None).save(path)
    report = compare_backends(
        str(path), backends=["tensorflow", "torch"], batch_size=1, size=64, steps=2, verbose=False
    )
    assert report["agree"], report["disagreements"]
    names = [name.split(" ", 1)[1] for name in report["differences"][0]["layers"]]
    assert sum(name.startswith("prediction_head") for name in names) == 10  # two heads, each on five levels
    first, last = report["backends"]["torch"]["losses"]
    assert last < first


def test_a_backend_that_fails_is_a_row(saved, tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise ImportError('No module named jax')")  # in place of the real one
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = compare_backends(
        saved, backends=["tensorflow", "jax"], batch_size=1, size=64, steps=1, output=tmp_path / "out", verbose=False
    )
    assert report["backends"]["jax"].keys() == {"error"}
    assert "No module named jax" in report["backends"]["jax"]["error"]
    assert report["backends"]["tensorflow"]["forward"]["median_s"] > 0
    assert report["agree"] and report["differences"] == []
    assert "failed: jax: " in (tmp_path / "out" / "compare.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backends": ["theano"]}, "tensorflow, jax, torch"),
        ({"backends": []}, "none"),
        ({"batch_size": 0}, "batch_size"),
        ({"steps": 0}, "steps"),
        ({"precision": "float8"}, "mixed_bfloat16"),
        ({"model": "resnet"}, "There is no model"),
        ({"model": "missing.keras"}, "no file missing.keras"),
        ({"model": "ConvNeXtTiny", "weights": "imagenet"}, "leave them out"),
        ({"tolerance": {"speed": 1}}, "got speed"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_backends(**{"model": "mambaout_test", **arguments})


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match="no image"):
        compare_backends("mambaout_test", images=tmp_path)
