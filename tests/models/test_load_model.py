"""`load_model` imports what a file needs, in a process where no task has been imported."""

import json
import subprocess
import sys
import zipfile

import keras
import pytest
import small_segmenter

import keras_mambaout
from keras_mambaout.models.saved import load_model

SCRIPT = "import sys, keras_mambaout; print([type(keras_mambaout.load_model(path)).__name__ for path in sys.argv[1:]])"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier, a UperNet, and a model whose only part that Keras does not know is that UperNet."""
    folder = tmp_path_factory.mktemp("saved")
    small_segmenter.create(num_classes=3).save(folder / "upernet.keras")
    images = keras.Input((32, 32, 3))
    keras.Model(images, small_segmenter.create(num_classes=3)(images)).save(folder / "around.keras")
    keras_mambaout.create_model("mambaout_test", weights=None, classes=3).save(folder / "classifier.keras")
    return [str(folder / f"{name}.keras") for name in ("classifier", "upernet", "around")]


@pytest.mark.first_on("torch")
def test_a_fresh_process(saved):
    result = subprocess.run([sys.executable, "-c", SCRIPT, *saved], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("['MambaOutClassifier', 'UperNet', 'Functional']")


def rewritten(path, to, old, new):
    """Copies a `.keras` file with other text in its configuration."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, content.replace(old, new) if name == "config.json" else content)
    return to


def test_a_module_that_has_moved(saved, tmp_path):
    old, new = b"keras_mambaout.segmentation.uper.model", b"keras_mambaout.segmentation.upernet.model"
    path = rewritten(saved[1], tmp_path / "old.keras", old, new)
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("config.json"))["module"] == new.decode()
    assert type(load_model(path)).__name__ == "UperNet"


@pytest.mark.first_on("torch")
def test_a_library_that_is_missing(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    monkeypatch.delitem(sys.modules, "keras_mambaout.integrations.keras_cv", raising=False)
    old, new = b"keras_mambaout.segmentation.uper.model", b"keras_mambaout.integrations.keras_cv"
    with pytest.raises(ImportError, match="KerasCV cannot be imported"):
        load_model(rewritten(saved[1], tmp_path / "cv.keras", old, new))


def test_what_is_not_a_keras_file(tmp_path):
    (tmp_path / "photo.keras").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is not a"):
        load_model(tmp_path / "photo.keras")
    with pytest.raises(ValueError, match=r"nowhere.keras' is not a .keras file.*No such file"):
        load_model(tmp_path / "nowhere.keras")
