"""What one backend trains and saves, another loads where it is alone; that it loads it itself, other tests check."""

import importlib.util
import pathlib
import subprocess
import sys

import cross_backend
import environments
import keras
import numpy as np
import pytest
import seeded
from small_model import create

SCRIPT = pathlib.Path(cross_backend.__file__)
FIRST = "tensorflow" if keras.backend.backend() == "torch" else "torch"  # JAX, which loads longest, in `make test-all`
WEIGHTS = """
import sys, numpy as np, keras_mambaout
folder = sys.argv[1]
options = {"weights": f"{folder}/model.weights.h5", "classes": 7, "drop_path_rate": 0.1}
model = keras_mambaout.create_model("mambaout_test", **options)
np.save(f"{folder}/outputs.npy", model.predict(np.load(f"{folder}/images.npy"), verbose=0))
"""


def others(marks):
    names = [name for name in environments.BACKENDS if name != keras.backend.backend()]
    return pytest.mark.parametrize("backend", [pytest.param(name, marks=marks(name)) for name in names])


def run(backend, folder, *command):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = environments.alone(backend, folder / f"{backend}_alone")
    result = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with compiled models of all tasks, a quantized one, their predictions and optimizers."""
    folder = tmp_path_factory.mktemp("saved")
    cross_backend.save(folder)
    return folder


@others(lambda name: [] if name == FIRST else pytest.mark.exhaustive)
@pytest.mark.first_on("torch")
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_compiled_and_quantized_models_load_where_one_backend_is_alone(saved, backend):
    assert run(backend, saved, SCRIPT, "load", saved).count("loaded") == 5


@others(lambda name: pytest.mark.exhaustive)
def test_weights_files_load_with_the_same_predictions(backend, tmp_path, seeded_file):
    images = np.stack([seeded.photo(64, 48), seeded.photo(48, 64).transpose(1, 0, 2)]).astype("float32")
    model = create(weights=seeded_file("mambaout_test"), classes=7, drop_path_rate=0.1)
    model.save_weights(tmp_path / "model.weights.h5")
    np.save(tmp_path / "images.npy", images)
    run(backend, tmp_path, "-c", WEIGHTS, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), model.predict(images, verbose=0), atol=1e-5)
