"""`compare_backends`: its numbers recomputed, its failures and disagreements found, every kind of model."""

import json
import sys

import keras
import numpy as np
import pytest
import small_segmenter
from paths import ROOT
from PIL import Image

import keras_mambaout
from keras_mambaout.cli import main
from keras_mambaout.compare import compare_backends, run
from keras_mambaout.compare.differences import compare_gradients, relative_difference
from keras_mambaout.compare.labels import draw_label_maps, draw_masks, draw_objects
from keras_mambaout.compare.models import image_shape, weights_name, without_dropout
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.detection.labels import ObjectLabels
from keras_mambaout.inference_settings import ClassificationSettings, DetectionSettings, SegmentationSettings
from keras_mambaout.integrations import keras_cv, keras_hub
from keras_mambaout.segmentation.labels import LabelMaps

SETTINGS = {"batch_size": 3, "steps": 3}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four images in two class folders."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat/a.png", "cat/b.jpg", "dog/c.png", "dog/d.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (70, 90, 3), dtype="uint8")).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A user's model: a `.keras` file, three classes, probabilities."""
    path = tmp_path_factory.mktemp("saved") / "mine.keras"
    keras.utils.set_random_seed(1)
    model = keras_mambaout.create_model("mambaout_test", weights=None, classes=3, input_shape=(64, 64, 3))
    model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def report(saved, photos, output):
    return compare_backends(saved, images=photos, output=output, verbose=False, **SETTINGS)


def test_report_is_whole(report, output):
    assert list(report["backends"]) == ["tensorflow", "jax", "torch"]
    assert report["agree"] and report["disagreements"] == []
    for backend, row in report["backends"].items():
        assert row["versions"][backend] and row["device"]
        assert row["build_s"] > 0 and row["peak_memory_bytes"] > 1e8
        for timing in (row["forward"], row["train_step"]):
            assert timing["first_s"] > 0 and len(timing["times_s"]) == 3
            low, high = timing["quartiles_s"]
            assert min(timing["times_s"]) <= low <= timing["median_s"] <= high <= max(timing["times_s"])
            assert timing["median_s"] == np.median(timing["times_s"])
            assert timing["images_per_s"] == pytest.approx(3 / timing["median_s"])
    assert report["backends"]["jax"]["depthwise_conv"] == "shifted"
    assert json.loads((output / "compare.json").read_text()) == json.loads(json.dumps(report))
    text = (output / "compare.md").read_text()
    assert "| tensorflow / jax " in text and "The backends agree." in text
    with Image.open(output / "compare.png") as picture:
        assert picture.size[0] > 1000 and len(picture.convert("L").getcolors()) > 20
    assert sorted(file.name for file in output.iterdir()) == ["compare.json", "compare.md", "compare.png"]


def test_losses_are_those_of_plain_keras(report, saved, photos):
    """Recomputed in this process, step by step, with a different loop."""
    files = ["cat/a.png", "cat/b.jpg", "dog/c.png"]
    images = np.stack([keras_mambaout.load_image(photos / file) for file in files])
    images = np.stack([keras_mambaout.resize_and_center_crop(image, 64) for image in images]).astype("float32")
    labels = np.array([0, 0, 1])
    model = keras.models.load_model(saved)
    model.compile(keras.optimizers.AdamW(1e-4), loss="sparse_categorical_crossentropy")
    losses = []
    for _ in range(3):
        probabilities = model.predict(images, verbose=0)
        losses.append(-np.log(probabilities[np.arange(3), labels]).mean())
        model.train_on_batch(images, labels)
    for row in report["backends"].values():
        np.testing.assert_allclose(row["losses"], losses, rtol=1e-4)
    assert losses[-1] < losses[0]


def test_differences_are_those_of_the_arrays(report):
    pairs = {tuple(pair["backends"]): pair for pair in report["differences"]}
    assert set(pairs) == {("tensorflow", "jax"), ("tensorflow", "torch"), ("jax", "torch")}
    for (first, second), pair in pairs.items():
        names = [name.split(" ", 1)[1] for name in pair["layers"]]
        assert names[1:3] == ["stem", "stages_0_blocks_0"] and names[-1] == "predictions"
        assert pair["outputs"] == pair["layers"][max(pair["layers"])] < 1e-4
        assert max(pair["gradients"].values()) < 1e-3 and len(pair["gradients"]) > 50
        a, b = (np.array(report["backends"][backend]["losses"]) for backend in (first, second))
        assert pair["losses"] == np.abs(a - b).max() / np.abs(b).max()


def test_relative_difference():
    assert relative_difference(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert relative_difference(np.array([0.25]), np.array([0.0])) == 0.25
    assert relative_difference(np.array([np.nan]), np.array([0.0])) == float("inf")
    assert relative_difference(np.ones(2), np.ones(3)) == float("inf")


def test_gradients_that_are_rounding_errors_count_little():
    """That of a bias which the next layer subtracts again, beside the gradient of its layer's kernel."""
    first = {"1 a/kernel": np.ones(2), "2 a/bias": np.array([1e-8]), "3 b/bias": np.array([1e-8])}
    second = {**first, "2 a/bias": np.array([-1e-8]), "3 b/bias": np.array([-1e-8])}
    assert compare_gradients(first, second) == {"1 a/kernel": 0.0, "2 a/bias": pytest.approx(2e-7), "3 b/bias": 2.0}


@pytest.mark.parametrize(
    ("shape", "settings", "given", "found"),
    [
        ((None, None, 3), None, None, (224, 224, 3)),
        ((None, None, 3), None, 64, (64, 64, 3)),
        ((None, None, 1), ClassificationSettings(image_size=288), None, (288, 288, 1)),
        ((None, None, 3), DetectionSettings(shortest_edge=800), None, (800, 800, 3)),
        ((None, None, 3), DetectionSettings(image_size=(480, 640)), None, (480, 480, 3)),
        ((None, None, 3), SegmentationSettings(crop_size=256, shortest_edge=512), None, (256, 256, 3)),
        ((None, None, 3), SegmentationSettings(crop_size="photo", shortest_edge=320), None, (320, 320, 3)),
        ((None, None, 3), SegmentationSettings(crop_size=256), 96, (96, 96, 3)),
        ((64, 64, 3), ClassificationSettings(image_size=288), None, (64, 64, 3)),
        ((64, 64, 3), None, 96, "takes images of 64 x 64 pixels, got size=96"),
        ((64, 96, 3), None, None, "only square ones"),
        ((None, None, 3), None, 16, "32 or more"),
    ],
)
def test_size_is_that_of_the_model(shape, settings, given, found):
    images = keras.Input(shape)
    network = keras.Model(images, keras.layers.Identity()(images))
    arguments = network, "mine.keras", given, settings
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            image_shape(*arguments)
    else:
        assert image_shape(*arguments) == found


def test_labels_are_valid():
    """For each of the models' own rules, which are those of `fit`."""
    shape = (3, 64, 96, 3)
    objects = {**draw_objects(shape, 5, "rel_yxyx"), "masks": draw_masks(shape)}
    ObjectLabels(5, masks=True).check_shapes(np.zeros(shape), objects)
    ObjectLabels(5).check(objects)
    top, left, bottom, right = np.moveaxis(objects["boxes"], -1, 0)
    assert min(top.min(), left.min()) >= 0 and max(bottom.max(), right.max()) <= 1
    assert (bottom - top).min() >= 0.19 and (right - left).min() >= 0.19
    maps = draw_label_maps(shape, 4, ignore_index=255)
    LabelMaps(4).check(maps)
    assert maps.shape == shape[:3] and set(np.unique(maps)) == {0, 1, 2, 3, 255}


def test_dropout_is_off():
    images = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras_mambaout.MambaOutBackbone("mambaout_test", weights=None)(images))
    model = keras.Model(images, keras.layers.Dropout(0.5)(keras.layers.Dense(8)(x)))
    calm, image = without_dropout(model), np.ones((1, 32, 32, 3), "float32")
    before = keras.ops.convert_to_numpy(model(image, training=False))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(calm(image, training=True)), before)
    assert without_dropout(calm) is calm


@pytest.fixture
def wrong_torch(monkeypatch):
    """A function that changes the last weight of a layer in the worker of PyTorch."""
    right = run.keras_worker_command

    def change(layer):
        def command(backend):
            wrong = [sys.executable, str(ROOT / "tests" / "helpers" / "wrong_worker.py"), layer]
            return (wrong if backend == "torch" else right(backend)[0]), right(backend)[1]

        monkeypatch.setattr(run, "keras_worker_command", command)

    return change


def test_a_wrong_backend_is_found_and_its_first_layer_named(saved, tmp_path, capsys, wrong_torch):
    wrong_torch("stages_1_blocks_0")
    arguments = ["compare", "--model", saved, "--backends", "tensorflow,torch", "--steps", "1", "--batch-size", "1"]
    assert main([*arguments, "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "tensorflow and torch differ first in the output of layer stages_1_blocks_0" in printed
    assert f"(classification), batch 1 of 64x64, float32, weights of {saved}, images noise" in printed
    report = json.loads((tmp_path / "compare.json").read_text())
    assert not report["agree"] and "stages_1_blocks_0" in report["disagreements"][0]


def test_a_wrong_head_of_upernet_is_found(tmp_path, capsys, wrong_torch):
    """A model that is not functional, with its own loss: the backbone and the other heads agree."""
    config = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    path = tmp_path / "upernet.keras"
    small_segmenter.create(config, dropout_rate=0.1).save(path)
    wrong_torch("head")
    arguments = ["compare", "--model", str(path), "--backends", "torch", "tensorflow,torch", "--steps", "1"]
    assert main([*arguments, "--batch-size", "2", "--size", "32", "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "torch and tensorflow differ first in the output of layer head:" in printed
    report = json.loads((tmp_path / "compare.json").read_text())
    (pair,) = report["differences"]
    names = [name.split(" ", 1)[1] for name in pair["layers"]]
    assert names[1:3] == ["stem", "stages_0_blocks_0"]
    assert names[-4:] == ["pyramid_pooling", "auxiliary_head", "head", "logits"]
    assert {name.split("/")[0].split(" ")[1] for name in pair["gradients"]} >= {"stem", "head", "auxiliary_head"}
    for row in report["backends"].values():  # every class is as likely, and the auxiliary loss counts 0.4
        assert row["losses"] == [pytest.approx(1.4 * np.log(4), rel=0.01)]


@pytest.mark.exhaustive
def test_a_state_space_model(tmp_path, capsys):
    arguments = ["compare", "--model", "mambaout_test", "--token-mixer", "conv_ssm", "--steps", "1"]
    assert main([*arguments, "--batch-size", "2", "--size", "32", "--output", str(tmp_path)]) == 0
    assert "mambaout_test with conv_ssm (classification), batch 2 of 32x32" in capsys.readouterr().out
    rows = json.loads((tmp_path / "compare.json").read_text())["backends"]
    assert [row.get("error") for row in rows.values()] == [None] * 3


def test_a_file_has_its_own_token_mixer(saved, report, capsys):
    assert report["token_mixer"] is None
    assert main(["compare", "--model", saved, "--token-mixer", "conv_ssm"]) == 1
    said = f"`token_mixer` is for the models of list_models(), got 'conv_ssm', and the model is {saved}: leave it out."
    assert capsys.readouterr().err == f"keras-mambaout: error: {said}\n"


def detector(build, **kwargs):
    return build("mambaout_test", num_classes=3, weights=None, **kwargs)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: detector(mask_rcnn, channels=16, proposals=50, box_samples=32), {"rpn_head": 10, "second_stage": 3}),
        (lambda: small_segmenter.create(drop_path_rate=0.2), {"auxiliary_head": 1, "logits": 1}),
        (lambda: detector(keras_hub.retinanet), {"cls_pred": 5, "outputs": 2}),
        (lambda: detector(keras_cv.retinanet), {"prediction_head": 10, "outputs": 2}),
        (lambda: detector(keras_cv.yolov8_detector, fpn_depth=1), {"outputs": 2}),
        (lambda: keras_mambaout.MambaOutBackbone("mambaout_test", weights=None), {"outputs": 1}),
    ],
    ids=["mask_rcnn", "upernet", "keras_hub", "keras_cv", "yolov8", "backbone"],
)
def test_every_kind_of_model(build, parts, tmp_path):
    path = tmp_path / "model.keras"
    build().save(path)
    report = compare_backends(str(path), batch_size=2, size=64, steps=2, verbose=False)
    assert report["agree"], report["disagreements"]
    assert [row.get("error") for row in report["backends"].values()] == [None] * 3
    names = [name.split(" ", 1)[1] for name in report["differences"][0]["layers"]]
    for part, count in parts.items():
        assert sum(name.startswith(part) for name in names) == count
    first, last = report["backends"]["torch"]["losses"]
    assert last != first  # YOLOv8's targets follow its predictions: its loss need not fall at once


def test_a_backend_that_fails_is_a_row(tmp_path, monkeypatch):
    """The other one has the token mixer that is asked for, or it could not load its weights."""
    (tmp_path / "jax.py").write_text("raise ImportError('No module named jax')")  # in place of the real one
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = {"token_mixer": "identity", "batch_size": 1, "size": 64, "steps": 1, "verbose": False}
    report = compare_backends("mambaout_test", backends="tensorflow,jax", output=tmp_path / "out", **settings)
    assert report["backends"]["jax"].keys() == {"error"}
    assert "No module named jax" in report["backends"]["jax"]["error"]
    assert report["backends"]["tensorflow"]["forward"]["median_s"] > 0
    assert report["agree"] and report["differences"] == []
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "failed: jax: " in text and "mambaout_test with identity (classification)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backends": ["theano"]}, "tensorflow, jax, torch"),
        ({"backends": []}, "none"),
        ({"batch_size": 0}, "batch_size"),
        ({"steps": 0}, "steps"),
        ({"precision": "float8"}, "mixed_bfloat16"),
        ({"model": "resnet"}, "There is no model"),
        ({"model": "missing.keras"}, "no file missing.keras"),
        ({"model": "ConvNeXtTiny", "weights": "imagenet"}, "leave them out"),
        ({"backends": "jax,theano"}, "tensorflow, jax, torch, got theano"),
        ({"size": 16}, "32 or more"),
        ({"tolerance": {"speed": 1}}, "got speed"),
        ({"token_mixer": "ssm"}, "one of conv, conv_ssm, causal_conv, identity, got 'ssm'"),
        ({"model": "ConvNeXtTiny", "token_mixer": "identity"}, "got 'identity', and the model is ConvNeXtTiny"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_backends(**{"model": "mambaout_test", **arguments})


def test_a_model_that_cannot_be_compared(tmp_path):
    first, second = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    keras.Model([first, second], keras.layers.Add()([first, second])).save(tmp_path / "two.keras")
    with pytest.raises(ValueError, match="A Functional cannot be compared: give a MaskRCNN, a UperNet"):
        compare_backends(str(tmp_path / "two.keras"))
    with pytest.raises(ValueError, match="saved with its own precision"):
        compare_backends(str(tmp_path / "two.keras"), precision="mixed_bfloat16")


def test_where_weights_are_from():
    assert weights_name("mine.keras", None) == "mine.keras" and weights_name("mambaout_tiny", None) == "drawn"
    assert weights_name("mambaout_tiny", "imagenet") == "mambaout_tiny.in1k"


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match="no image"):
        compare_backends("mambaout_test", images=tmp_path)
