"""`train semantic`, and `evaluate` and `predict` with a UperNet, as a user types them."""

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
import small_segmenter as scenes
from PIL import Image

from keras_mambaout import create_model, load_image
from keras_mambaout.cli import main
from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation import (
    MULTI_SCALE,
    SegmentationDataset,
    draw_segmentation,
    evaluate_segmenter,
    format_segmentation_metrics,
    segment,
)

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show

WINDOWS = {"crop_size": 32, "stride": 21, "shortest_edge": 32, "longest_edge": 128}
TRAIN = ["train", "semantic", "--model", "mambaout_test", "--weights", "none", "--image-size", "32"]
TRAIN += ["--channels", "16"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Arguments for four images, their label maps and a file of names."""
    folder = tmp_path_factory.mktemp("scenes")
    images, labels, names = scenes.write(folder, [(40, 60)] * 4)  # 32 x 48, two windows
    (folder / "names.txt").write_text("\n".join(names))
    return ["--images", str(images), "--labels", str(labels), "--classes", str(folder / "names.txt")]


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """The folder of a run of the command, and what it printed."""
    output = tmp_path_factory.mktemp("run") / "scenes"
    arguments = [*TRAIN, *folders, "--batch-size", "2", "--epochs", "2", "--learning-rate", "1e-2"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*arguments, "--output", str(output)]) == 0
    return output, printed.getvalue()


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained[0] / "last.keras")


def dataset(folders):
    return SegmentationDataset.from_folder(folders[1], folders[3], scenes.CLASS_NAMES)


def test_train(trained):
    output, printed = trained
    recipe = json.loads((output / "settings.json").read_text())["recipe"]
    numbers = ("crop_size", "shortest_edge", "longest_edge", "epochs", "batch_size", "base_learning_rate", "power")
    assert [recipe[name] for name in numbers] == [32, 32, 128, 2, 2, 1e-2, 1.0]
    assert "mambaout_test: 4 images for training, 4 for validation, 3 classes; 2 epochs in batches of 2" in printed
    assert load_model(output / "best.keras").channels == 16
    assert "mIoU: best " in printed and f"written: {output}/best.keras" in printed


def test_evaluate(trained, model, folders, tmp_path, capsys):
    command = ["evaluate", "--model", str(trained[0] / "last.keras"), *folders[:4]]
    assert main([*command, "--output", str(tmp_path), "--pictures", "2"]) == 0
    text, line = capsys.readouterr().out.strip().rsplit("\n", 1)
    data = dataset(folders)
    assert text == format_segmentation_metrics(evaluate_segmenter(model, data, **WINDOWS))
    photos, labels = zip(*map(data.load, range(2)), strict=True)
    expected = draw_segmentation(photos, segment(model, photos, **WINDOWS), labels, scenes.CLASS_NAMES)
    np.testing.assert_array_equal(np.asarray(Image.open(line.rpartition(": ")[2])), expected)

    assert main([*command, "--json", "--pictures", "0", "--multi-scale", "--batch-size", "4"]) == 0
    metrics = evaluate_segmenter(model, data, **WINDOWS, scales=MULTI_SCALE, flip=True)
    assert json.loads(capsys.readouterr().out) == metrics


def test_evaluate_leaves_out_what_is_unreadable(trained, folders, tmp_path, capsys):
    shutil.copytree(folders[1], tmp_path / "images")
    damaged = tmp_path / "images" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    command = ["evaluate", "--model", str(trained[0] / "last.keras"), "--images", str(tmp_path / "images")]
    command += [*folders[2:], "--output", str(tmp_path / "out"), "--pictures", "1"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"1 unreadable images were left out: {damaged}" in printed and "Images, predictions and labels: " in printed


def test_predict(trained, model, folders, tmp_path, capsys):
    photo = f"{folders[1]}/1.png"
    command = ["predict", photo, photo, "--model", str(trained[0] / "last.keras")]
    command += ["--output", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    (classes,) = segment(model, [load_image(photo)], **WINDOWS)
    label_map = Image.open(first["label_map"])
    assert label_map.mode == "P" and first["label_map"] != second["label_map"]
    np.testing.assert_array_equal(np.asarray(label_map), classes)
    expected = {name: (classes == index).mean() for index, name in enumerate(scenes.CLASS_NAMES)}
    assert {row["name"]: row["share"] for row in first["classes"]} == {k: v for k, v in expected.items() if v}
    drawn = draw_segmentation([load_image(photo)], [classes], class_names=scenes.CLASS_NAMES)
    np.testing.assert_array_equal(np.asarray(Image.open(first["picture"])), drawn)

    (tmp_path / "names.txt").write_text("fire\ngrass\nsea\n")
    assert main([*command, "--json", "--classes", str(tmp_path / "names.txt")]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)[0]["classes"]]
    assert set(names) <= {"fire", "grass", "sea"}

    assert main([*command, "--top", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == f"  {max(expected.values()):7.2%}  {max(expected, key=expected.get)}"
    assert len(printed) == 6 and printed[2].endswith(f"class of each pixel: {tmp_path}/1_classes.png")


def test_preview(folders, tmp_path, capsys):
    arguments = [*TRAIN, *folders, "--preview", str(tmp_path / "batch.png"), "--output", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert "4 training images as the model gets them" in capsys.readouterr().out
    assert Image.open(tmp_path / "batch.png").width > 2 * 480 and not (tmp_path / "run").exists()


def test_ade20k(tmp_path, capsys):
    """`--data` has a folder for training and one for validation, in which 0 does not count."""
    for part, value in (("training", 1), ("validation", 150)):
        for kind, mode in (("images", "RGB"), ("annotations", "L")):
            (tmp_path / kind / part).mkdir(parents=True)
            for number in range(2):
                Image.new(mode, (40, 32), value if mode == "L" else "red").save(
                    tmp_path / kind / part / f"{number}.png"
                )
    arguments = [*TRAIN, "--data", str(tmp_path), "--batch-size", "2", "--preview", str(tmp_path / "batch.png")]
    assert main(arguments) == 0
    assert "2 training images" in capsys.readouterr().out
    (tmp_path / "images" / "validation").rename(tmp_path / "away")
    assert main(arguments) == 1 and "images/validation" in capsys.readouterr().err
    (tmp_path / "away").rename(tmp_path / "images" / "validation")
    saved = str(tmp_path / "model.keras")
    scenes.create(num_classes=150).save(saved)
    command = ["evaluate", "--model", saved, "--data", str(tmp_path), "--size", "32", "--pictures"]
    assert main([*command, "0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["classes"]
    assert (rows[0]["name"], rows[0]["pixels"], rows[0]["accuracy"]) == ("wall", 0, None)
    assert (rows[149]["name"], rows[149]["pixels"]) == ("flag", 2 * 40 * 32)


def test_classes_with_numbers(trained, folders, tmp_path, capsys):
    """A file whose lines are `number: name` says which number a class has in the label maps."""
    (tmp_path / "names.txt").write_text("2: blue\n  0: red\n1: green\n")
    command = ["evaluate", "--model", str(trained[0] / "last.keras"), *folders[:5]]
    command += [str(tmp_path / "names.txt"), "--pictures", "0", "--json"]
    assert main([*command, "--ignore-ids", "255,9"]) == 0
    rows = json.loads(capsys.readouterr().out)["classes"]
    pixels = [int((np.asarray(Image.open(f"{folders[3]}/{n}.png")) == 2).sum()) for n in range(4)]
    assert (rows[0]["name"], rows[0]["pixels"]) == ("blue", sum(pixels))


def test_errors_are_one_line(trained, folders, tmp_path, capsys):
    classifier = str(tmp_path / "classifier.keras")
    create_model("mambaout_test", weights=None, classes=3).save(classifier)
    saved = str(trained[0] / "last.keras")
    (tmp_path / "two.txt").write_text("red\ngreen\n")
    evaluate, photo = ["evaluate", "--model"], f"{folders[1]}/1.png"
    for command, message in (
        ([*evaluate, saved], "Give --data FOLDER (ADEChallengeData2016) alone, or --images"),
        ([*evaluate, saved, "--data", str(tmp_path), *folders], "Give --data FOLDER"),
        ([*evaluate, saved, "--data", str(tmp_path)], "There is no folder"),
        ([*evaluate, saved, *folders, "--split", "training"], "--split is for --data, ADE20K"),
        (
            [*evaluate, saved, *folders[:5], str(tmp_path / "two.txt")],
            "The model has 3 classes, the data set has 2",
        ),
        ([*evaluate, classifier, *folders], "--images is for object detection and semantic segmentation; "),
        (["predict", photo, "--model", saved, "--classes", "missing.txt"], "is neither a text file of names"),
        ([*TRAIN, "--data", str(tmp_path), "--val-images", folders[1]], "--val-images and --val-labels are for"),
    ):
        assert main(command) == 1, command
        captured = capsys.readouterr()
        assert captured.err.startswith("keras-mambaout: error: ") and message in captured.err, captured.err
        assert captured.err.count("\n") == 1
