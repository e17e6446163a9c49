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


def changed(path, to, change):
    """Copies a `.keras` file with another configuration."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        new = change(config) or config
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(to, "w") as copy:
        for name, content in parts.items():
            copy.writestr(name, json.dumps(new) if name == "config.json" else content)
    return to


HARMFUL = [
    ("keras_mambaout.__main__", "main"),
    ("keras_mambaout.compare.worker", "main"),
    ("antigravity", "geohash"),
    ("os", "system"),
    ("keras.utils", "get_file"),
    ("keras.applications", "ResNet50"),
    ("keras_cv.models.stable_diffusion.text_encoder", "TextEncoder"),
]


@pytest.mark.first_on("torch")
@pytest.mark.parametrize(("module", "name"), HARMFUL)
@pytest.mark.parametrize("is_function", [False, True])
def test_a_file_imports_and_runs_nothing(saved, tmp_path, module, name, is_function):
    part = {"module": module, "class_name": name, "config": {}, "registered_name": None}
    if is_function:
        part |= {"class_name": "function", "config": name, "registered_name": name}
    path = changed(saved[0], tmp_path / "a.keras", lambda config: config["config"].update(classifier_activation=part))
    before = set(sys.modules)
    with pytest.raises(ValueError, match=rf"a\.keras.*'{module}\.{name}'"):
        load_model(path)
    assert set(sys.modules) == before


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("weights", ["imagenet", "hf://them/model", "a.safetensors", {"class_name": "__bytes__"}])
def test_a_file_opens_no_other(saved, tmp_path, weights):
    path = changed(saved[0], tmp_path / "a.keras", lambda config: config["config"].update(weights=weights))
    with pytest.raises(ValueError, match=r"a\.keras.*nothing that a file names is opened"):
        load_model(path)
    if isinstance(weights, str):
        with pytest.raises(ValueError, match="`weights` must be None in a saved configuration"):
            keras.models.load_model(path)


@pytest.mark.first_on("torch")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": [10**9, 1, 1, 1]}, "`depths` must be 4 positive integers, one per stage, at most 1000"),
        ({"depths": [900, 900, 900, 900]}, "a model with more weights than it holds"),
        ({"dims": [10**9] * 4}, "`dims` must be"),
        ({"dims": [60000] * 4}, "a model with more weights than it holds"),
        ({"kernel_size": 10**9 + 1}, "`kernel_size` must be"),
        ({"classes": 10**9}, "a model with more weights than it holds"),
        ({"depth": 3}, "MambaOutConfig has depths"),
    ],
)
def test_a_model_is_not_larger_than_its_file(saved, tmp_path, change, message):
    def changing(config):
        outer = config["config"]
        (outer if "classes" in change else outer["backbone"]["config"]["config"]).update(change)

    with pytest.raises(ValueError, match=rf"a\.keras.*{message}"):
        load_model(changed(saved[0], tmp_path / "a.keras", changing))
    keras.layers.Dense(3).build((None, 2))  # and Keras is as it was


@pytest.mark.first_on("torch")
def test_a_dense_layer_is_not_larger_than_its_file(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save(tmp_path / "small.keras")
    assert load_model(tmp_path / "small.keras").count_params() == 9

    def changing(config):
        config["config"]["layers"][1]["config"]["units"] = 10**9

    with pytest.raises(ValueError, match=r"a\.keras.*more weights than it holds"):
        load_model(changed(tmp_path / "small.keras", tmp_path / "a.keras", changing))


@pytest.mark.no_backend
def test_damage(saved, tmp_path):
    with open(saved[0], "rb") as file:
        content = file.read()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (b"", content[: len(content) // 2], bytes(flipped)):
        (tmp_path / "a.keras").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.keras"):
            load_model(tmp_path / "a.keras")
    for missing in ("config.json", "metadata.json", "model.weights.h5"):
        with zipfile.ZipFile(saved[0]) as archive, zipfile.ZipFile(tmp_path / "a.keras", "w") as copy:
            for name in {*archive.namelist()} - {missing}:
                copy.writestr(name, archive.read(name))
        with pytest.raises(ValueError, match=rf"a\.keras.*it has no {missing}"):
            load_model(tmp_path / "a.keras")


@pytest.mark.first_on("torch")
def test_nan_is_warned_of(tmp_path, caplog):
    model = small_segmenter.create(num_classes=3)
    model.weights[0].assign(model.weights[0] + float("nan"))
    model.save(tmp_path / "nan.keras")
    load_model(tmp_path / "nan.keras")
    (record,) = caplog.records
    assert "nan.keras: NaN or infinity in 1 of its tensors" in record.message
