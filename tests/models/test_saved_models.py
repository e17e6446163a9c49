"""Models saved before the reorganisation, on each backend: `tests/fixtures/make_saved_models.py` made them."""

import pathlib

import keras
import numpy as np
import pytest
import seeded

import keras_mambaout
from keras_mambaout.inference_settings import ClassificationSettings

SAVED = pathlib.Path(__file__).parents[1] / "fixtures" / "saved"
BACKENDS = ("tensorflow", "jax", "torch")
IMAGES = np.stack([seeded.photo(48, 64)] * 2).astype("float32")


@pytest.fixture(params=BACKENDS)
def outputs(request):
    """What the models of one backend gave there, and its name."""
    with np.load(SAVED / f"outputs_{request.param}.npz") as file:
        return dict(file), request.param


def check(model, expected):
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_keras_files_load(outputs):
    expected, backend = outputs
    model = keras.models.load_model(SAVED / f"classifier_{backend}.keras", compile=False)
    check(model, expected["classifier"])
    assert model.inference_settings == ClassificationSettings()  # nothing was known then
    assert not model.backbone.get_layer("stem").trainable  # frozen layers stay so
    check(keras.models.load_model(SAVED / f"backbone_{backend}.keras"), expected["backbone"])


def test_weights_files_load(outputs):
    expected, backend = outputs
    model = keras_mambaout.create_model(
        "mambaout_test", weights=SAVED / f"classifier_{backend}.safetensors", classes=4, drop_path_rate=0.1
    )
    check(model, expected["classifier"])
    backbone = keras_mambaout.MambaOutBackbone(
        "mambaout_test",
        weights=SAVED / f"backbone_{backend}.weights.h5",
        output_norms=True,
        pad_to_multiple=32,
        pooling="avg",
    )
    check(backbone, expected["backbone"])


def test_a_compiled_file_trains_on():
    """Optimizer and learning rate too, in a file of the same backend."""
    backend = keras.backend.backend()
    model = keras.models.load_model(SAVED / f"classifier_{backend}.keras")
    assert int(model.optimizer.iterations) == 2
    schedule = model.optimizer.learning_rate
    assert float(schedule) == pytest.approx(1e-6 + (1e-3 - 1e-6) * 2 / 10, rel=1e-5)  # in the warm-up
    model.fit(IMAGES, np.array([0, 1]), epochs=1, verbose=0)
    assert int(model.optimizer.iterations) == 3
