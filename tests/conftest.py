"""Shared by all tests: where the real images are, and references made with timm."""

import json
import os
import pathlib

import numpy as np
import pytest
from paths import ROOT


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that are marked `first_on(backend, ...)` are exhaustive on the other backends."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    for item in items:
        elsewhere = any(backend not in mark.args for mark in item.iter_markers("first_on"))
        if elsewhere and item.get_closest_marker("no_backend") is None:
            item.add_marker(pytest.mark.exhaustive)


@pytest.fixture(scope="module")
def optimized():
    """JAX compiles as it does for users, for tests of many steps or of the kernels' numbers.

    Otherwise it compiles as the environment says, by `run_backends.py` in less time for slower code.
    """
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real images and labels; tests that need it are skipped where it is missing."""
    path = pathlib.Path(os.environ.get("KERAS_MAMBAOUT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path}; set KERAS_MAMBAOUT_TEST_DATA to the folder of real images")
    return path


@pytest.fixture(scope="session")
def coco128(data_dir):
    """128 photos of COCO with boxes and masks."""
    from keras_mambaout.detection import CocoDataset

    folder = data_dir / "instances" / "coco128_train2017"
    return CocoDataset.from_json(folder / "instances_train2017.json", folder / "images")


@pytest.fixture(scope="session")
def timm_models():
    return dict(np.load(ROOT / "tests" / "fixtures" / "timm_models.npz"))


@pytest.fixture(scope="session")
def timm_shapes(timm_models):
    """Variant -> `{timm's tensor name: shape}`."""
    return {key.split("/")[0]: json.loads(str(value)) for key, value in timm_models.items() if key.endswith("/shapes")}


@pytest.fixture(scope="session")
def timm_gradients():
    return dict(np.load(ROOT / "tests" / "fixtures" / "timm_gradients.npz"))


@pytest.fixture(scope="session")
def seeded_file(timm_shapes, tmp_path_factory):
    """A function that writes a variant's seeded tensors, under timm's names, to a safetensors file."""
    import safetensors.numpy
    import seeded

    folder = tmp_path_factory.mktemp("seeded")

    def write(variant):
        path = folder / f"{variant}.safetensors"
        if not path.exists():
            safetensors.numpy.save_file(seeded.state(timm_shapes[variant]), path)
        return str(path)

    return write


@pytest.fixture(scope="session")
def images():
    """Two pictures of 64 x 96, 0-255."""
    import seeded

    return np.stack([seeded.photo(64, 96)] * 2).astype("float32")


@pytest.fixture
def fruit(tmp_path):
    """A data set of three classes, as `grey_fruit` describes it."""
    import grey_fruit

    from keras_mambaout.classification import ClassificationDataset

    grey_fruit.write_folder(tmp_path / "fruit")
    return ClassificationDataset.from_folder(tmp_path / "fruit")
