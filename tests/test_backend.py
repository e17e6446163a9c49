"""A backend that is missing or unknown is one sentence, in Python and on the command line."""

import pathlib
import subprocess
import sys

import environments
import pytest
from paths import ROOT

pytestmark = pytest.mark.no_backend

MISSING = 'jax is not installed: pip install "keras-mambaout[jax]", or set KERAS_BACKEND to the backend that is.'
SENTENCES = {
    "jax": f"KERAS_BACKEND is 'jax', and {MISSING}",
    "tensorflow": "KERAS_BACKEND is 'tensorflow', and tensorflow is not installed: "
    'pip install "keras-mambaout[tensorflow]", or set KERAS_BACKEND to the backend that is.',
    "": "KERAS_BACKEND is not set, so Keras takes tensorflow, and tensorflow is not installed: "
    'pip install "keras-mambaout[tensorflow]", or set KERAS_BACKEND to the backend that is.',
    "tensorfow": "KERAS_BACKEND must be tensorflow, jax or torch, got 'tensorfow'.",
}
FIRST_USES = """
import keras_mambaout
import keras_mambaout.detection
for use in (
    "keras_mambaout.MambaOutTiny",
    "from keras_mambaout import create_model",
    "keras_mambaout.training",
    "from keras_mambaout.detection import mask_rcnn",
):
    try:
        exec(use)
    except ImportError as error:
        print(error)
try:
    keras_mambaout.unknown
except AttributeError as error:
    print(str(error).removeprefix("module 'keras_mambaout' "))
"""


def run(folder, backend, *command):
    """Runs a command where neither TensorFlow nor JAX can be imported, and no file says which backend to use."""
    variables = {"KERAS_BACKEND": backend, "KERAS_HOME": str(folder / "home")}
    environment = environments.without(folder, ["tensorflow", "jax"], **variables)
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("backend", SENTENCES)
def test_import(backend, tmp_path):
    result = run(tmp_path, backend, "-c", FIRST_USES)
    assert result.stdout == f"{SENTENCES[backend]}\n" * 4 + "has no attribute 'unknown'\n", result.stderr


@pytest.mark.parametrize("backend", ["jax", "tensorfow"])
@pytest.mark.parametrize("command", ["module", "script"])
def test_command_line(command, backend, tmp_path):
    script = pathlib.Path(sys.executable).parent / "keras-mambaout"
    result = run(tmp_path, backend, *(["-m", "keras_mambaout"] if command == "module" else [script]), "list")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"keras-mambaout: error: {SENTENCES[backend]}\n"
