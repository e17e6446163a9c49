"""`pip install .` into an empty environment with one backend alone imports and predicts."""

import os
import subprocess

import environments
import pytest
from paths import ROOT

SCRIPT = """
import importlib.util, sys
import keras_mambaout, keras, numpy as np
others = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
assert not any(importlib.util.find_spec(other) for other in others), "another backend is installed"
assert not others & set(sys.modules)
assert "site-packages" in keras_mambaout.__file__, keras_mambaout.__file__
model = keras_mambaout.create_model("mambaout_test", weights=None, input_shape=(64, 64, 3))
image = keras_mambaout.resize_and_center_crop(keras_mambaout.load_image(np.full((80, 90), 7, "uint8")), 64)
predictions = keras_mambaout.decode_predictions(model.predict(image[None], verbose=0), top=3)
assert len(predictions[0]) == 3 and abs(sum(score for *_, score in predictions[0])) <= 1
print("predicted on", keras.backend.backend())
"""


@pytest.mark.parametrize(
    "backend",
    ["jax", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("tensorflow", "torch"))],
)
def test_one_backend_alone(backend, tmp_path):
    pinned = [ROOT / "requirements" / f"{name}.txt" for name in (backend, "base")]
    python = environments.create(tmp_path / "venv", "-r", pinned[0], "-r", pinned[1], ROOT)
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [python, "-c", SCRIPT]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"predicted on {backend}" in result.stdout
    listed = subprocess.run([python.parent / "keras-mambaout", "list"], env=environment, capture_output=True, text=True)
    assert "mambaout_tiny" in listed.stdout, listed.stderr
