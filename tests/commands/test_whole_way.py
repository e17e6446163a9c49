"""From training to another machine, as a user types it: no option of the training is said again.

Each task is trained for an epoch on real photos, then predicts, evaluates, is compared and pushed, and predicts the
same from the hub in a process of another backend.
"""

import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from hub_server import HubServer

from keras_mambaout.cli import main
from keras_mambaout.commands import detection
from keras_mambaout.detection import CocoDataset, mask_rcnn
from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation.ade20k import ade20k_classes

pytestmark = pytest.mark.first_on("torch")  # minutes on the others

SMALL = ["--model", "mambaout_test", "--weights", "none", "--epochs", "1", "--image-size", "64", "--batch-size", "2"]
OTHER = {"torch": "tensorflow", "tensorflow": "jax", "jax": "torch"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer().connected(monkeypatch, tmp_path / "cache") as server:
        server.users["hf_me"] = ("me", True)
        monkeypatch.setenv("HF_TOKEN", "hf_me")
        yield server


def classification(data_dir, folder):
    """Arguments of the training, those of the evaluation, a photo, and the names of the classes."""
    flowers = data_dir / "flowers"
    photo = next((flowers / "val" / "roses").iterdir())
    names = sorted(path.name for path in (flowers / "train").iterdir() if path.is_dir())
    return ["--data", flowers, "--batch-size", "25"], ["--data", flowers / "val"], photo, names


def instances(data_dir, folder):
    coco = data_dir / "instances" / "coco128_train2017"
    data = CocoDataset.from_json(coco / "instances_train2017.json", coco / "images").subset(range(4))
    (folder / "four.json").write_text(json.dumps(data.ground_truth))
    files = ["--annotations", folder / "four.json", "--images", coco / "images"]
    photo = coco / "images" / data.ground_truth["images"][0]["file_name"]
    return [*files, "--channels", "8"], [*files, "--pictures", "1"], photo, data.class_names


def semantic(data_dir, folder):
    ade20k, (names, _) = data_dir / "scenes" / "ade20k", ade20k_classes()
    (folder / "names.txt").write_text("\n".join(f"{number}: {name}" for number, name in enumerate(names, start=1)))
    files = ["--images", ade20k / "images", "--labels", ade20k / "annotations"]
    files += ["--classes", folder / "names.txt", "--ignore-ids", "0"]
    photo = next(path for path in sorted((ade20k / "images").iterdir()) if path.suffix == ".jpg")
    return [*files, "--channels", "16"], [*files, "--pictures", "1"], photo, names


MEASURED = {classification: "top1", instances: "segm_AP", semantic: "mIoU"}
LOGS = {classification: "val_accuracy", instances: "val_segm_AP", semantic: "val_mIoU"}
SHARES = {classification: "score", instances: "confidence", semantic: "share"}
SHOW = {instances: ["--confidence", "0"]}  # an epoch makes nothing sure


def run(capsys, *words):
    """Runs a command and returns what it printed as JSON, or as text."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0, words
    printed = capsys.readouterr().out
    return json.loads(printed) if "--json" in words else printed


@pytest.mark.parametrize(
    "task",
    [classification, *(pytest.param(task, marks=pytest.mark.exhaustive) for task in (instances, semantic))],
    ids=lambda task: task.__name__,
)
def test_whole_way(task, hub, data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = {"confidence_threshold": 0.0, "proposals": 20, "box_samples": 8, "max_detections": 5}
    monkeypatch.setattr(detection, "mask_rcnn", functools.partial(mask_rcnn, **few))
    training, evaluation, photo, names = task(data_dir, tmp_path)
    run(capsys, "train", task.__name__, *SMALL, *training, "--output", "run")
    model = load_model("run/best.keras")
    assert list(model.inference_settings.class_names) == list(names)

    (found,) = run(capsys, "predict", photo, "--model", "run/best.keras", "--json", *SHOW.get(task, []))
    objects = next(value for value in found.values() if isinstance(value, list))
    assert objects and {row["name"] for row in objects} <= set(names)
    metrics = run(capsys, "evaluate", "--model", "run/best.keras", *evaluation, "--json")
    names, values = (row.split(",") for row in (tmp_path / "run" / "history.csv").read_text().split())
    logged = float(values[names.index(LOGS[task])])
    flat = {**metrics, "segm_AP": metrics["segm"]["AP"]} if task is instances else metrics
    assert flat[MEASURED[task]] == pytest.approx(logged, abs=1e-4)  # at the size of the training

    backend = keras.config.backend()
    text = run(
        capsys, "compare", "--model", "run/best.keras", "--backends", backend, "--batch-size", "2", "--steps", "1"
    )
    assert "run/best.keras" in text and "64" in text

    url = run(capsys, "push", "--model", "run/best.keras", "--repo", "me/model").strip()
    assert url == f"{hub.url}/me/model"
    command = [sys.executable, "-m", "keras_mambaout", "predict", str(photo), "--model", "hf://me/model", "--json"]
    command += SHOW.get(task, [])
    settings = {"KERAS_BACKEND": OTHER[backend], "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    other = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert other.returncode == 0, other.stderr
    (same,) = json.loads(other.stdout)
    again = next(value for value in same.values() if isinstance(value, list))
    assert [row["name"] for row in again][:3] == [row["name"] for row in objects][:3]
    np.testing.assert_allclose([row[SHARES[task]] for row in again], [row[SHARES[task]] for row in objects], atol=2e-3)
