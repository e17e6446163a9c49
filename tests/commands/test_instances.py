"""`predict` and `evaluate` with a saved detector that finds masks, as a user types them."""

import json

import numpy as np
import pytest
import white
from PIL import Image
from pycocotools import mask as coder
from white import FindsWhite

from keras_mambaout.cli import main
from keras_mambaout.detection import CocoDataset, evaluate_detector, format_coco_metrics
from keras_mambaout.integrations.keras_hub import retinanet


@pytest.fixture
def dataset(tmp_path):
    return white.write(tmp_path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("detector") / "detector.keras")
    model = FindsWhite(filled=0.5)
    model.predict_on_batch(np.zeros((1, 64, 64, 3), "float32"))
    model.save(path)
    return path


def predict(saved, dataset, folder, *options, task="instances"):
    photos = [str(dataset[1] / f"{number}.png") for number in (0, 3)]
    command = ["predict", *photos, "--task", task, "--model", saved, "--size", "64", "--output", str(folder)]
    return main([*command, *options])


def test_predict(saved, dataset, tmp_path, capsys):
    assert predict(saved, dataset, tmp_path / "masks", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    for result, (left, top, width, height) in zip(results, (white.RECTANGLES[0], white.RECTANGLES[3]), strict=True):
        (found,) = result["detections"]
        assert found["box"] == [left, top, left + width, top + height] and found["name"] == "1"
        mask = coder.decode(found["segmentation"])
        expected = np.zeros((48, 64))
        expected[top : top + height // 2, left : left + width] = 1
        np.testing.assert_array_equal(mask, expected)
        picture = np.asarray(Image.open(result["picture"]))
        assert (
            picture[top + height - 5 : top + height - 3, left + 5 : left + width - 5] == 255
        ).all()  # below the mask
    assert predict(saved, dataset, tmp_path / "text") == 0
    assert capsys.readouterr().out.count("left, top, right, bottom") == 2
    drawn = [np.asarray(Image.open(tmp_path / name / "0_detections.png")) for name in ("masks", "text")]
    np.testing.assert_array_equal(*drawn)


def test_boxes_of_a_detector_with_masks(saved, dataset, tmp_path, capsys):
    assert predict(saved, dataset, tmp_path / "boxes", "--json", task="detection") == 0
    assert sorted(json.loads(capsys.readouterr().out)[0]["detections"][0]) == ["box", "name", "score"]
    assert predict(saved, dataset, tmp_path / "masks") == 0
    boxes, masks = (np.asarray(Image.open(tmp_path / name / "0_detections.png")) for name in ("boxes", "masks"))
    assert (boxes != masks).any()


def test_evaluate(saved, dataset, tmp_path, capsys):
    command = ["evaluate", "--task", "instances", "--model", saved, "--size", "64", "--output", str(tmp_path / "out")]
    command += ["--annotations", str(dataset[0]), "--images", str(dataset[1])]
    assert main(command) == 0
    text, line = capsys.readouterr().out.strip().rsplit("\n", 1)
    data = CocoDataset.from_json(*dataset)
    expected = evaluate_detector(FindsWhite(filled=0.5), data, image_size=64, iou_type=("bbox", "segm"))
    assert text == f"boxes\n{format_coco_metrics(expected['bbox'])}\n\nmasks\n{format_coco_metrics(expected['segm'])}"
    assert Image.open(line.rpartition(": ")[2]).size[0] == 4 * 484
    assert main([*command, "--json", "--pictures", "0"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["bbox"]["AP"] == pytest.approx(1) and printed["segm"]["AP"] == pytest.approx(expected["segm"]["AP"])
    assert printed["segm"]["APl"] is None
    assert main([*command, "--json", "--pictures", "0", "--shortest-edge", "48"]) == 0
    assert json.loads(capsys.readouterr().out)["bbox"]["AP"] == pytest.approx(1)


def test_errors_are_one_line(dataset, tmp_path, capsys):
    path = str(tmp_path / "boxes.keras")
    retinanet("mambaout_test", 2, "xywh", weights=None, confidence_threshold=0.0, max_detections=5).save(path)
    labels = ["--annotations", str(dataset[0]), "--images", str(dataset[1]), "--size", "64"]
    for run, message in (
        (lambda: predict(path, dataset, tmp_path), "finds boxes but no masks: use --task detection"),
        (lambda: main(["evaluate", "--task", "instances", "--model", path, *labels]), "This model finds boxes only"),
        (lambda: main(["evaluate", "--task", "instances", *labels]), "--task instances needs --model"),
    ):
        assert run() == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("keras-mambaout: error: ") and message in captured.err, captured.err
        assert captured.err.count("\n") == 1 and captured.out == ""
