"""Exported models against Keras: in their own runtime, at several sizes, and without Keras."""

import json
import subprocess
import sys

import environments
import keras
import numpy as np
import pytest
from paths import ROOT

import keras_mambaout
from keras_mambaout.classification import classify
from keras_mambaout.detection import detect, mask_rcnn
from keras_mambaout.exporting import export, load_exported
from keras_mambaout.exporting.graph import prepared
from keras_mambaout.inference_settings import ClassificationSettings, DetectionSettings, SegmentationSettings
from keras_mambaout.segmentation import segment, upernet

BACKEND = keras.backend.backend()
CONFIG = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
ANY = {"size": "dynamic", "batch_size": "dynamic"}
EXHAUSTIVE = pytest.mark.exhaustive
CASES = [  # model, format, options, the backends that show it in `make test`
    ("classifier", "onnx", ANY, ("tensorflow", "jax", "torch")),
    ("classifier", "openvino", ANY, ()),
    ("classifier", "torch", ANY, ()),
    ("classifier", "saved_model", ANY, ("tensorflow",)),
    ("classifier", "litert", {"size": 64, "batch_size": 2}, ("tensorflow",)),
    ("backbone", "onnx", ANY, ()),
    ("backbone", "openvino", ANY, ("torch",)),
    ("backbone", "torch", ANY, ()),
    ("backbone", "saved_model", ANY, ()),
    ("backbone", "litert", {"size": 64}, ()),
    ("segmenter", "onnx", {}, ("torch",)),
    ("segmenter", "openvino", {}, ()),
    ("segmenter", "torch", {"batch_size": "dynamic"}, ()),
    ("segmenter", "saved_model", {}, ("tensorflow",)),
    ("segmenter", "litert", {"size": 96}, ()),
    ("detector", "onnx", {"size": (96, 128)}, ("torch",)),
    ("detector", "openvino", {"size": (96, 128)}, ()),
    ("detector", "torch", {"size": (96, 128)}, ()),
    ("detector", "saved_model", {"size": (96, 128)}, ("tensorflow",)),
    ("detector", "litert", {"size": (96, 128)}, ()),
]


def create(kind):
    keras.utils.set_random_seed(0)
    if kind == "classifier":
        backbone = keras_mambaout.MambaOutBackbone(CONFIG, weights=None)
        settings = ClassificationSettings(class_names=["a", "b", "c"], image_size=64)
        return keras_mambaout.MambaOutClassifier(backbone, 3, inference_settings=settings)
    if kind == "backbone":
        return keras_mambaout.MambaOutBackbone(CONFIG, weights=None)
    if kind == "segmenter":
        model = upernet(CONFIG, 3, weights=None, channels=8, auxiliary_channels=8)
        model.inference_settings = SegmentationSettings(class_names=["a", "b", "c"], crop_size=96, shortest_edge=96)
        return model
    options = {"channels": 8, "proposals": 20, "max_detections": 5, "confidence_threshold": 0.0}
    model = mask_rcnn(CONFIG, 3, weights=None, **options)
    model.inference_settings = DetectionSettings(class_names=["a", "b", "c"])
    return model


@pytest.fixture(scope="module")
def models():
    return {kind: create(kind) for kind in ("classifier", "backbone", "segmenter", "detector")}


@pytest.fixture(scope="module")
def photos():
    rows, columns = np.mgrid[0:150, 0:200]
    waves = np.stack([128 + 127 * np.sin(rows / (5 + 3 * k) + columns / (9 - k)) for k in range(3)], axis=-1)
    return [waves.astype("uint8"), waves[::-1, :120].astype("uint8")]


@pytest.mark.parametrize(
    ("kind", "format", "options"),
    [
        pytest.param(*case, id="-".join(case[:2]), marks=[] if BACKEND in backends else EXHAUSTIVE)
        for *case, backends in CASES
    ],
)
def test_computes_what_keras_computes(models, photos, tmp_path, kind, format, options):
    model = models[kind]
    manifest = export(model, format, tmp_path / "exported", photos=photos, **options)
    assert max(manifest["difference"].values()) <= 1e-4
    assert len(manifest["compared"]) == (2 if None in manifest["inputs"]["images"] else 1)
    exported = load_exported(tmp_path / "exported")
    if kind == "classifier":
        for found, wanted in zip(classify(exported, photos), classify(model, photos), strict=True):
            assert found["names"] == wanted["names"]
            np.testing.assert_allclose(found["confidence"], wanted["confidence"], rtol=1e-4)
    elif kind == "segmenter":
        for found, wanted in zip(segment(exported, photos[:1]), segment(model, photos[:1]), strict=True):
            assert np.mean(found == wanted) > 0.999
    elif kind == "detector":
        found, wanted = (
            detect(one, photos[:1], image_size=(96, 128), confidence_threshold=0.0, masks="box")[0]
            for one in (exported, model)
        )
        assert len(found["boxes"]) and found["names"] == wanted["names"]
        for name in ("boxes", "confidence", "masks"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4)


WITHOUT_KERAS = """
import json, sys
import numpy as np
import keras_mambaout
from keras_mambaout.classification import classify

model = keras_mambaout.load_exported(sys.argv[1])
found = classify(model, [photo for photo in np.load(sys.argv[2]).values()])
loaded = {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
print(json.dumps([[one["names"], one["confidence"].tolist()] for one in found]), sorted(loaded), sep="\\n")
"""


@pytest.fixture(scope="module")
def classifier_file(models, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "exported"
    format = "litert" if BACKEND == "tensorflow" else "onnx"
    export(models["classifier"], format, folder, photos=photos, include_preprocessing=False)
    return folder


def test_runs_without_keras_and_without_any_backend(models, photos, classifier_file, tmp_path):
    np.savez(tmp_path / "photos.npz", *photos)
    environment = environments.without(tmp_path / "hidden", ["keras", *environments.BACKENDS])
    command = [sys.executable, "-c", WITHOUT_KERAS, classifier_file, tmp_path / "photos.npz"]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows, loaded = result.stdout.splitlines()
    assert loaded == "[]"
    for (names, confidence), wanted in zip(json.loads(rows), classify(models["classifier"], photos), strict=True):
        assert names == wanted["names"]
        np.testing.assert_allclose(confidence, wanted["confidence"], rtol=1e-4)


def test_other_sizes_than_the_files_are_one_sentence(classifier_file, photos):
    exported = load_exported(classifier_file)
    with pytest.raises(ValueError, match=r"takes images \(B, 64, 64, 3\), got shape \(1, 96, 96, 3\)"):
        classify(exported, photos[:1], image_size=96)
    with pytest.raises(ValueError, match="one image or more"):
        exported.predict_on_batch(np.zeros((0, 64, 64, 3)))


@pytest.mark.parametrize("kind", ["classifier", "segmenter", "detector"])
def test_mixed_precision_is_written_in_float32(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = create(kind)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.backbone.compute_dtype == "bfloat16"
    written = prepared(model, include_preprocessing=True)
    layers = [written, *written._flatten_layers(include_self=False)]
    assert {layer.dtype_policy.name for layer in layers} == {"float32"}
    for value, wanted in zip(written.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_a_failed_export_leaves_the_earlier_one(models, photos, classifier_file, monkeypatch):
    before = {path: path.read_bytes() for path in classifier_file.rglob("*") if path.is_file()}
    beside = set(classifier_file.parent.iterdir())
    monkeypatch.setattr("keras_mambaout.exporting.exporter.TOLERANCE", -1.0)
    format = "litert" if BACKEND == "tensorflow" else "onnx"
    with pytest.raises(ValueError, match=r"does not compute what Keras does: probabilities .* Nothing was written"):
        export(models["classifier"], format, classifier_file, photos=photos)
    assert {path: path.read_bytes() for path in classifier_file.rglob("*") if path.is_file()} == before
    assert set(classifier_file.parent.iterdir()) == beside


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("classifier", {"format": "onyx"}, "`format` must be one of 'onnx'"),
        ("classifier", {"size": 31}, "`size` must be at least 32"),
        ("classifier", {"size": "any"}, "`size` must be an integer or .* or 'dynamic', got 'any'"),
        ("classifier", {"batch_size": 0}, "`batch_size` must be an integer of 1 or more"),
        ("detector", {"size": "dynamic"}, "as the anchors of a MaskRCNN"),
        ("segmenter", {"size": "dynamic", "format": "litert"}, "the shapes of LiteRT are constants"),
    ],
)
def test_what_cannot_be_exported_is_refused(models, tmp_path, kind, options, message):
    with pytest.raises(ValueError, match=message):
        export(models[kind], **{"format": "onnx", "output": tmp_path / "new", **options})
    assert not any(tmp_path.iterdir())


def test_other_models_and_folders_with_other_files_are_refused(models, tmp_path):
    with pytest.raises(ValueError, match="`model` must be one of MambaOutClassifier"):
        export(keras.Sequential([keras.layers.Input((4,))]), "onnx", tmp_path / "new")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        export(models["classifier"], "onnx", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
