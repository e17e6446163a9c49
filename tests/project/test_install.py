"""`pip install .` into an empty environment with one backend alone imports and predicts."""

import functools
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


@pytest.fixture(scope="session")
def python_of(tmp_path_factory):
    """A function that returns the python of an environment with one backend alone, made once."""

    @functools.cache
    def make(backend):
        pinned = [ROOT / "requirements" / f"{name}.txt" for name in (backend, "base")]
        return environments.create(tmp_path_factory.mktemp(backend) / "venv", "-r", pinned[0], "-r", pinned[1], ROOT)

    return make


def run(command, backend, folder):
    """Returns what a process of such an environment printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["KERAS_BACKEND"] = backend
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "backend",
    ["jax", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("tensorflow", "torch"))],
)
def test_one_backend_alone(backend, python_of, tmp_path):
    python = python_of(backend)
    assert f"predicted on {backend}" in run([python, "-c", SCRIPT], backend, tmp_path)
    assert "mambaout_tiny" in run([python.parent / "keras-mambaout", "list"], backend, tmp_path)


@pytest.mark.exhaustive
def test_what_each_backend_has_trained_loads_on_each(python_of, tmp_path):
    """Compiled, with the optimizer's state: a model of each task, and a quantized one."""
    script = ROOT / "tests" / "helpers" / "cross_backend.py"
    for command, printed in (("save", 0), ("load", 15)):
        for backend in environments.BACKENDS:
            output = run([python_of(backend), script, command, tmp_path], backend, tmp_path)
            assert output.count("loaded") == printed
