"""A classifier of Keras in timm itself, in an environment of its own: the same logits, names and preprocessing."""

import json
import os
import subprocess

import environments
import numpy as np
import pytest
import seeded
import small_model
from hub_server import HubServer
from paths import ROOT

import keras_mambaout

pytestmark = pytest.mark.slow  # installs PyTorch and timm, some gigabytes


@pytest.fixture(scope="module")
def timm_python(tmp_path_factory):
    """Python of an environment with timm: the one that `TIMM_PYTHON` names, or a new one."""
    if "TIMM_PYTHON" in os.environ:
        return os.environ["TIMM_PYTHON"]
    try:
        return environments.create(tmp_path_factory.mktemp("timm"), "timm")
    except (AssertionError, OSError) as error:
        pytest.skip(f"timm cannot be installed here: {error}")


@pytest.mark.parametrize("variant", ["mambaout_test", "mambaout_femto", "mambaout_small_rw"])
@pytest.mark.parametrize("source", ["local-dir", "hf-hub"])
def test_equal_logits(timm_python, seeded_file, tmp_path, variant, source):
    model = keras_mambaout.create_model(variant, weights=seeded_file(variant), classifier_activation=None)
    names = [f"class {number}" for number in range(1000)]
    model.inference_settings = {"class_names": names, "image_size": 96, "crop_pct": 0.9, "crop_mode": "squash"}
    photos = np.stack([seeded.photo(96, 96), seeded.photo(96, 96)[::-1]])
    np.save(tmp_path / "photos.npy", photos)
    with HubServer() as hub:
        folder = keras_mambaout.save_for_hub(model, tmp_path / "folder")
        for file in os.listdir(folder):
            hub.add("me/classifier", (tmp_path / "folder" / file).read_bytes(), name=file)
        name = {"local-dir": f"local-dir:{folder}", "hf-hub": "hf-hub:me/classifier"}[source]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment.update(HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
        worker = [timm_python, ROOT / "tests" / "helpers" / "timm_worker.py", name, tmp_path / "photos.npy", tmp_path]
        subprocess.run(worker, env=environment, check=True)
    ours, theirs = small_model.predict(model, photos.astype("float32")), np.load(tmp_path / "logits.npy")
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{variant} by {source}: logits up to {np.abs(theirs).max():.2f}, relative difference {difference:.1e}")
    assert difference < 1e-4
    back = keras_mambaout.load_model(tmp_path / "timm")  # what timm itself would upload
    assert back.inference_settings == model.inference_settings and back.classifier_activation == "softmax"
    small_model.assert_same(back, small_model.values(model))
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["num_classes"], config["label_names"]) == (1000, names)
    assert (config["input_size"], config["crop_pct"], config["crop_mode"]) == ([3, 96, 96], 0.9, "squash")
    assert config["interpolation"] == "bicubic" and np.allclose(config["mean"], [0.485, 0.456, 0.406])
