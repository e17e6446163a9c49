"""What one backend saves, the others load, with the same predictions; that it loads it itself, other tests check."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import cross_backend
import keras
import numpy as np
import pytest
import seeded

import keras_mambaout
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.segmentation import upernet

SCRIPT = pathlib.Path(cross_backend.__file__)
FIRST = "tensorflow" if keras.backend.backend() == "torch" else "torch"  # JAX, which loads longest, in `make test-all`


@pytest.fixture(scope="module")
def saved(tmp_path_factory, seeded_file):
    """A folder with a trained model, saved both ways, a detector, a segmenter, and their predictions."""
    folder = tmp_path_factory.mktemp("saved")
    images = np.stack([seeded.photo(64, 48), seeded.photo(48, 64).transpose(1, 0, 2)]).astype("float32")
    model = keras_mambaout.create_model(
        "mambaout_test", weights=seeded_file("mambaout_test"), classes=7, drop_path_rate=0.1
    )
    model.compile(keras.optimizers.AdamW(1e-4), "sparse_categorical_crossentropy")
    model.fit(images, np.array([1, 2]), verbose=0)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    keras_mambaout.save_for_hub(model, folder / "shared")
    np.save(folder / "images.npy", images)
    detector = mask_rcnn(
        "mambaout_test", 7, weights=None, channels=16, proposals=20, max_detections=10, confidence_threshold=0.0
    )
    detector.save(folder / "mask_rcnn.keras")
    segmenter = upernet("mambaout_test", 7, weights=None, channels=16, auxiliary_channels=8)
    segmenter.save(folder / "upernet.keras")
    predictions = (each.predict(images, verbose=0) for each in (model, detector, segmenter))
    return folder, *predictions


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=[] if name == FIRST else pytest.mark.exhaustive)
        for name in cross_backend.BACKENDS
        if name != keras.backend.backend()
    ],
)
@pytest.mark.first_on("torch")
def test_loads_with_the_same_predictions(saved, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder, expected, instances, scenes = saved
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, SCRIPT, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    loaded = np.load(folder / f"{backend}.npz")
    np.testing.assert_allclose(loaded["keras_file"], expected, atol=1e-5)
    np.testing.assert_allclose(loaded["weights_file"], expected, atol=1e-5)
    np.testing.assert_allclose(loaded["shared"], expected, atol=1e-5)
    np.testing.assert_allclose(loaded["scenes"], scenes, atol=1e-4)
    assert instances["num_detections"].tolist() == [10, 10]
    for key, values in instances.items():
        np.testing.assert_allclose(loaded[key], values, atol=1e-3, err_msg=key)
