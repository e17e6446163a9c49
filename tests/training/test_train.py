"""A training run: what it leaves in its folder, how it goes on after a kill, what it refuses."""

import csv
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import run_worker
import seeded
from PIL import Image

from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe
from keras_mambaout.training import train

WORKER = pathlib.Path(run_worker.__file__)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes of pictures, 12 and 4 of each."""
    folder = tmp_path_factory.mktemp("images")
    for part, count in (("train", 12), ("val", 4)):
        for label, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                picture = seeded.photo(40 + number, 48) // 2 + 100 * label
                Image.fromarray(picture).save(folder / part / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory):
    """The folder and the history of a run that nothing interrupted."""
    output = tmp_path_factory.mktemp("runs") / "unbroken"
    return output, run_worker.main(str(images), str(output))


def test_a_run_leaves_its_files(unbroken, images):
    output, history = unbroken
    names = {"best.keras", "last.keras", "history.csv", "settings.json", "classes.txt", "backup", "tensorboard"}
    assert set(os.listdir(output)) == {*names, ".lock"}
    assert (output / "classes.txt").read_text().split() == ["dark", "light"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(history)
    with open(output / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(history["val_loss"])
    assert any(path.name.startswith("events") for path in (output / "tensorboard").rglob("*"))
    assert history["loss"][-1] < history["loss"][0]

    model = keras.models.load_model(output / "last.keras", compile=False)
    data = ClassificationDataset.from_folder(images / "val")
    right = [model.predict(x, verbose=0).argmax(1) == y for x, y in data.batches(8, image_size=32).as_numpy_iterator()]
    assert np.mean(right) == pytest.approx(history["val_accuracy"][-1])  # averaged weights are saved and validated


INSIDE, BETWEEN = "epoch-0001-step-000003.npz", "epoch-0001.npz"
OWN_POINTS = ("between",) if keras.backend.backend() == "jax" else ("step",)
MORE = [("backup",), ("backup", "step", "between")]


@pytest.mark.parametrize(
    "points", [OWN_POINTS, *(pytest.param(points, marks=pytest.mark.exhaustive) for points in MORE)], ids="-".join
)
def test_a_run_that_was_killed_ends_like_one_that_was_not(unbroken, images, tmp_path, points):
    """The other one wrote no backups inside of epochs."""
    output, history = unbroken
    command = [sys.executable, str(WORKER), str(images), str(tmp_path / "killed"), *points]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (WORKER.parent, WORKER.parents[2])))}
    killed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert killed.stdout.splitlines()[-1] == str([-9] * len(points)), killed.stderr[-2000:]
    kept = BETWEEN if points == ("backup",) else INSIDE
    assert [path.name for path in (tmp_path / "killed" / "backup").glob("epoch-*")] == [kept]
    again = run_worker.main(str(images), str(tmp_path / "killed"))
    assert again.keys() == history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-5, err_msg=name)
    for name in ("last.keras", "best.keras"):
        whole, resumed = (keras.models.load_model(folder / name) for folder in (output, tmp_path / "killed"))
        assert int(whole.optimizer.iterations) == int(resumed.optimizer.iterations) > 0
        pairs = [*zip(whole.weights, resumed.weights, strict=True)]
        pairs += zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True)
        for expected, value in pairs:
            np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6, err_msg=expected.path)


def test_a_finished_run_is_not_run_again(unbroken, images, capfd):
    output, history = unbroken
    before = (output / "last.keras").read_bytes()
    assert run_worker.main(str(images), str(output)) == {name: pytest.approx(v) for name, v in history.items()}
    assert (output / "last.keras").read_bytes() == before
    assert "Epoch" not in capfd.readouterr().out


@pytest.mark.first_on("torch")
def test_a_model_with_averaged_weights_goes_on(images, tmp_path):
    data = ClassificationDataset.from_folder(images / "train")
    model = run_worker.small_model(2)
    recipe = dataclasses.replace(run_worker.RECIPE, epochs=1)
    train(model, recipe, data, output=str(tmp_path / "run"))
    batches = data.batches(8, image_size=32, label_mode="categorical")
    before = model.evaluate(batches, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(batches, verbose=0), before, rtol=1e-4)
    model.fit(batches, verbose=0)


def refused(images, output, match, recipe=run_worker.RECIPE, classes=2, **kwargs):
    data = ClassificationDataset.from_folder(images / "train")
    model = run_worker.small_model(classes)
    with pytest.raises(ValueError, match=match):
        train(model, recipe, data, output=str(output), **kwargs)


def test_another_run_in_the_folder_is_refused(unbroken, images):
    output, _ = unbroken
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    refused(images, output, "has a run already: go on with it")
    recipe = dataclasses.replace(run_worker.RECIPE, epochs=7)
    refused(images, output, r"other settings \(.*recipe.epochs was 3, is 7", recipe, resume=True)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_what_does_not_fit_is_refused(images, tmp_path):
    refused(images, tmp_path / "a", "The model has 3 classes, the training images have 2", classes=3)
    refused(images, tmp_path / "a", "8 images does not go into 3 accumulated steps", accumulate=3)
    refused(images, tmp_path / "a", "24 images are not one batch of 64", ClassificationRecipe.finetune("mambaout_test"))
    (tmp_path / "file").write_text("")
    refused(images, tmp_path / "file", "Cannot write into the folder")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.first_on("torch")  # the data set leaves them out, whatever the backend
def test_unreadable_images_are_named_or_end_the_run(images, tmp_path):
    shutil.copytree(images / "train", tmp_path / "train")
    (tmp_path / "train" / "dark" / "0.png").write_bytes(b"no image")
    data = ClassificationDataset.from_folder(tmp_path / "train")
    recipe = dataclasses.replace(run_worker.RECIPE, epochs=1, warmup_epochs=0, ema_momentum=None)
    model = run_worker.small_model(2)
    history = train(model, recipe, data, output=str(tmp_path / "run"))
    assert len(history["loss"]) == 1
    assert [os.path.basename(path) for path in data.unreadable] == ["0.png"]
    before = [variable.numpy() for variable in model.trainable_variables]

    data = ClassificationDataset.from_folder(tmp_path / "train")
    with pytest.raises(ValueError, match=r"Unreadable images, with which a strict run ends: .*0.png"):
        train(model, recipe, data, output=str(tmp_path / "strict"), strict=True)
    values = [variable.numpy() for variable in model.trainable_variables]  # the step is done, the model is whole
    assert any(np.any(old != new) for old, new in zip(before, values, strict=True)) and np.isfinite(values[0]).all()
    assert not (tmp_path / "strict" / "last.keras").exists()
