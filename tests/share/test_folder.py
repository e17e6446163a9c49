"""The folder of a shared model, before anything is uploaded."""

import json
import pathlib

import keras
import numpy as np
import pytest
import safetensors.numpy
import small_model
import small_segmenter
import yaml

import keras_mambaout
from keras_mambaout import save_for_hub
from keras_mambaout.detection import mask_rcnn

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, test_cross_backend shows

NAMES = ["daisy", "rose: red", "tulip"]
CROP = {"image_size": 64, "crop_pct": 0.9, "crop_mode": "squash"}


def classifier(**kwargs):
    keras.utils.set_random_seed(1)
    model = small_model.create(classes=3, **kwargs)
    model.inference_settings = {"class_names": NAMES, **CROP}
    return model


def metadata(folder):
    return yaml.safe_load((pathlib.Path(folder) / "README.md").read_text().split("---\n")[1])


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_classifier(tmp_path, images, activation):
    model = classifier(
        classifier_activation=activation, include_preprocessing=False, drop_path_rate=0.1, dropout_rate=0.2
    )
    folder = pathlib.Path(save_for_hub(model, tmp_path / "new" / "folder"))
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    same = keras_mambaout.load_model(folder)
    np.testing.assert_array_equal(small_model.predict(same, images), small_model.predict(model, images))
    assert same.inference_settings == model.inference_settings
    assert (same.dropout_rate, same.backbone.drop_path_rate) == (0.2, 0.1)
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "test_mambaout" and config["label_names"] == NAMES
    assert config["pretrained_cfg"]["input_size"] == [3, 64, 64]


def test_the_size_that_a_model_is_built_for(tmp_path):
    folder = save_for_hub(small_model.create(input_shape=(96, 96, 3)), tmp_path / "folder")
    assert keras_mambaout.load_model(folder).inference_settings.image_size == 96


@pytest.mark.parametrize(
    "kwargs", [{"input_shape": (32, 32, 1)}, {"classifier_activation": "relu"}], ids=["one channel", "relu"]
)
def test_what_timm_has_not_is_a_keras_file(tmp_path, kwargs):
    folder = pathlib.Path(save_for_hub(small_model.create(classes=3, **kwargs), tmp_path / "folder"))
    assert {path.name for path in folder.iterdir()} == {"README.md", "model.keras"}
    assert metadata(folder)["library_name"] == "keras-mambaout"
    assert "timm" not in (folder / "README.md").read_text()


def test_networks_that_timm_has_not(tmp_path):
    padded = keras_mambaout.MambaOutBackbone("mambaout_test", pad_to_multiple=32)
    normed = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
    models = [keras_mambaout.MambaOutClassifier(backbone, classes=3) for backbone in (padded, normed)]
    for number, model in enumerate([*models, small_model.tiny(3), padded]):
        folder = save_for_hub(model, tmp_path / str(number))
        assert not (pathlib.Path(folder) / "config.json").exists()
        assert type(keras_mambaout.load_model(folder)) is type(model)


def test_dense_models_without_their_optimizer(tmp_path):
    upernet = small_segmenter.create(num_classes=3)
    upernet.inference_settings = {"class_names": small_segmenter.CLASS_NAMES, "crop_size": 64}
    upernet.compile(keras.optimizers.Adam())
    upernet.optimizer.build(upernet.trainable_variables)
    folder = save_for_hub(upernet, tmp_path / "upernet")
    same = keras_mambaout.load_model(folder)
    small_model.assert_same(same, small_model.values(upernet))
    assert same.inference_settings == upernet.inference_settings
    size = (pathlib.Path(folder) / "model.keras").stat().st_size
    assert size < 1.5 * 4 * upernet.count_params()  # with the optimizer it would be three times the weights
    assert metadata(folder)["pipeline_tag"] == "image-segmentation"
    assert "from keras_mambaout.segmentation import segment" in (pathlib.Path(folder) / "README.md").read_text()


def test_card(tmp_path):
    metrics = {"top1": 0.875, "top5": 1.0, "images": 8, "bbox": {"AP": 0.5}, "classes": [{"IoU": 1.0}], "AR": None}
    folder = save_for_hub(
        classifier(), tmp_path / "folder", "me/flowers@v2", license="mit", dataset="flowers", metrics=metrics
    )
    data = metadata(folder)
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == ("mit", "timm", "image-classification")
    assert {"keras", "keras-mambaout", "timm"} <= set(data["tags"]) and data["datasets"] == ["flowers"]
    (result,) = data["model-index"][0]["results"]
    assert {metric["name"]: metric["value"] for metric in result["metrics"]} == {
        "top1": 0.875,
        "top5": 1.0,
        "bbox_AP": 0.5,
    }
    assert result["metrics"][0]["type"] == "accuracy" and result["dataset"]["name"] == "flowers"
    text = (pathlib.Path(folder) / "README.md").read_text()
    for line in (
        "# flowers",
        'model = keras_mambaout.load_model("hf://me/flowers@v2")',
        'model = timm.create_model("hf-hub:me/flowers@v2", pretrained=True).eval()',
        "keras-mambaout predict photo.jpg --model hf://me/flowers@v2",
        "| top1 | 0.875 |",
        "daisy, rose: red, tulip.",
    ):
        assert line in text.splitlines()


@pytest.mark.exhaustive
def test_card_of_a_detector(tmp_path):
    detector = mask_rcnn("mambaout_test", num_classes=2, weights=None, channels=16, proposals=20, box_samples=8)
    folder = save_for_hub(detector, tmp_path / "folder")
    assert metadata(folder)["pipeline_tag"] == "image-segmentation"
    assert "from keras_mambaout.detection import detect" in (pathlib.Path(folder) / "README.md").read_text()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"repository": "flowers"}, "'flowers' is no repository of the hub: give user/repo"),
        ({"license": "Apache 2"}, "`license` must be as the hub names it, .* got 'Apache 2'"),
        ({"dataset": ""}, "`dataset` must be the name of a data set"),
        ({"metrics": [0.5]}, r"`metrics` must be a dict, as an evaluation returns it, got \[0.5\]"),
        ({"metrics": {"classes": []}}, "`metrics` must have numbers by name"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        save_for_hub(classifier(), tmp_path / "folder", **kwargs)
    assert not (tmp_path / "folder").exists()


def test_wrong_models_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model, got str. For a file: load_model\(path\)"):
        save_for_hub("model.keras", tmp_path)
    (tmp_path / "model.keras").write_bytes(b"of another model")
    (tmp_path / "README.md").write_text("of a project")
    with pytest.raises(ValueError, match=r"has model.keras, README.md already: remove them, or choose another folder"):
        save_for_hub(classifier(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match="Cannot make the folder"):
        save_for_hub(classifier(), tmp_path / "README.md" / "below")


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"has no model of this package: neither model.keras, nor config.json with"):
        keras_mambaout.load_model(tmp_path)
    folder = pathlib.Path(save_for_hub(classifier(), tmp_path / "folder"))
    config = json.loads((folder / "config.json").read_text())
    five = {**config, "num_classes": 5, "label_names": list("abcde")}
    (folder / "config.json").write_text(json.dumps(five))
    with pytest.raises(ValueError, match=r"model.safetensors' has no classifier of 5 classes, as .*config.json' says"):
        keras_mambaout.load_model(folder)
    (folder / "config.json").write_text(json.dumps({**config, "architecture": "mambaout_femto"}))
    with pytest.raises(ValueError, match="does not fit the model 'mambaout_femto'"):
        keras_mambaout.load_model(folder)
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    backbone = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    safetensors.numpy.save_file(backbone, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has no classifier of 3 classes"):
        keras_mambaout.load_model(folder)
