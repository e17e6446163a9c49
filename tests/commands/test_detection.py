"""`predict` and `evaluate` with a saved detector, as a user types them."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mambaout.cli import main
from keras_mambaout.detection import CocoDataset, evaluate_detector, format_coco_metrics
from keras_mambaout.integrations.keras_hub import retinanet

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show

SIZE = 96


@pytest.fixture(scope="module")
def coco(data_dir, tmp_path_factory):
    """Paths of four photos of COCO with their labels, and the data set."""
    folder = data_dir / "instances" / "coco128_train2017"
    whole = CocoDataset.from_json(folder / "instances_train2017.json", folder / "images")
    dataset = whole.subset(range(4))
    path = tmp_path_factory.mktemp("coco") / "four.json"
    path.write_text(json.dumps(dataset.ground_truth))
    photos = [str(folder / "images" / image["file_name"]) for image in dataset.ground_truth["images"]]
    return path, folder / "images", photos, dataset


@pytest.fixture(scope="module")
def detector():
    """Untrained, and so with a low score for everything everywhere."""
    keras.utils.set_random_seed(0)
    return retinanet("mambaout_test", 80, "xywh", weights=None, confidence_threshold=0.0, max_detections=20)


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("detector") / "detector.keras")
    detector.save(path)
    return path


def test_predict(saved, coco, tmp_path, capsys):
    _, _, photos, dataset = coco
    command = ["predict", *photos[:2], photos[0], "--model", saved, "--size", str(SIZE)]
    command += ["--confidence", "0.001", "--output", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["image"] for result in results] == [*photos[:2], photos[0]]
    assert results[0]["detections"] == results[2]["detections"]
    assert len({result["picture"] for result in results}) == 3
    for result in results:
        width, height = Image.open(result["image"]).size
        assert Image.open(result["picture"]).size == (width, height)
        assert len(result["detections"]) > 0
        for found in result["detections"]:
            left, top, right, bottom = found["box"]
            assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
            assert found["name"] in dataset.class_names and 0.001 <= found["confidence"] <= 1
    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.count("left, top, right, bottom") == sum(len(result["detections"]) for result in results)


def test_evaluate(saved, detector, coco, tmp_path, capsys):
    annotations, images, _, dataset = coco
    command = ["evaluate", "--model", saved, "--annotations", str(annotations)]
    command += ["--images", str(images), "--size", str(SIZE), "--output", str(tmp_path / "pictures"), "--pictures", "3"]
    assert main(command) == 0
    table, line = capsys.readouterr().out.strip().rsplit("\n", 1)
    expected = evaluate_detector(detector, dataset, image_size=SIZE)
    assert table == format_coco_metrics(expected)
    picture = np.asarray(Image.open(line.rpartition(": ")[2]))
    assert picture.shape[1:] == (4 * 484, 3)  # two pairs of 480 pixels and a gap, then one and an empty place
    heights = [
        round(480 * image["height"] / max(image["height"], image["width"])) for image in dataset.ground_truth["images"]
    ]
    first, second = max(heights[:2]) + 4, heights[2] + 4
    assert picture.shape[0] == first + second
    assert (picture[first:, 2 * 484 :] == 255).all() and not (picture[first:, : 2 * 484] == 255).all()
    assert main([*command, "--json", "--pictures", "0"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() == expected.keys() and printed["AP"] == pytest.approx(expected["AP"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "PHOTO", "--model", "BROKEN"], "is not a .keras file"),
        (["predict", "PHOTO", "--model", "nowhere.keras"], "'nowhere.keras' is not a .keras file"),
        (["predict", "PHOTO", "--model", "PHOTO"], "the path of a .keras file, or hf://user/repo"),
        (["predict", "PHOTO", "--model", "SAVED", "--classes", "NAMES"], "has 2 names, the model has 80 classes"),
        (["predict", "PHOTO", "--model", "SAVED", "--classes", "nowhere.json"], "neither a text file of names nor"),
        (["evaluate", "--model", "SAVED"], "Give --annotations FILE and --images FOLDER"),
        (
            ["evaluate", "--model", "SAVED", "--annotations", "x.json", "--images", "."],
            "There is no annotation file 'x.json'",
        ),
    ],
)
def test_errors_are_one_line(arguments, message, saved, coco, tmp_path, capsys):
    broken, names = tmp_path / "broken.keras", tmp_path / "names.txt"
    broken.write_bytes(b"no archive")
    names.write_text("cat\ndog\n")
    values = {"PHOTO": coco[2][0], "SAVED": saved, "BROKEN": str(broken), "NAMES": str(names)}
    assert main([values.get(argument, argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("keras-mambaout: error: ") and message in captured.err, captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""
