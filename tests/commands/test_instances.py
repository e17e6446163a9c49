"""`train instances`, and `predict` and `evaluate` with a detector that finds masks, as a user types them."""

import csv
import functools
import json
import os

import numpy as np
import pytest
import white
from PIL import Image
from pycocotools import mask as coder
from pycocotools.coco import COCO
from white import FindsWhite

from keras_mambaout import load_image
from keras_mambaout.cli import main
from keras_mambaout.commands import detection
from keras_mambaout.detection import (
    CocoDataset,
    DetectionSettings,
    coco_metrics,
    detect,
    evaluate_detector,
    format_coco_metrics,
    mask_rcnn,
)
from keras_mambaout.detection.recipe import MULTI_SCALE
from keras_mambaout.detection.resizing import ResizeRule
from keras_mambaout.models.saved import load_model

SMALL = {"proposals": 10, "box_samples": 8, "max_detections": 5}

pytestmark = pytest.mark.first_on("torch")  # what differs between backends, other tests show


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


def predict(saved, dataset, folder, *options):
    photos = [str(dataset[1] / f"{number}.png") for number in (0, 3)]
    command = ["predict", *photos, "--model", saved, "--size", "64", "--output", str(folder)]
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


def test_evaluate_leaves_out_what_is_wrong_or_unreadable(saved, dataset, tmp_path, capsys):
    """An annotation is wrong, a photo cut off and another one not there."""
    labels, images = dataset
    content = json.loads(labels.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 99, "segmentation": [[1, 1, 5, 5]]})
    labels.write_text(json.dumps(content))
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:60])
    (images / "2.png").unlink()
    command = ["evaluate", "--model", saved, "--annotations", str(labels), "--images", str(images)]
    command += ["--size", "64", "--output", str(tmp_path / "out"), "--pictures", "3"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "1 of 5 annotations are wrong: annotation 99: " in error and error.count("\n") == 1
    assert main([*command, "--invalid", "skip"]) == 0
    printed = capsys.readouterr().out
    assert f"2 unreadable images were left out: {images}/1.png, {images}/2.png" in printed and "masks\n" in printed


def test_boxes_of_a_detector_with_masks(saved, dataset, tmp_path, capsys):
    assert predict(saved, dataset, tmp_path / "boxes", "--json", "--no-masks") == 0
    assert sorted(json.loads(capsys.readouterr().out)[0]["detections"][0]) == ["box", "confidence", "name"]
    assert predict(saved, dataset, tmp_path / "masks") == 0
    boxes, masks = (np.asarray(Image.open(tmp_path / name / "0_detections.png")) for name in ("boxes", "masks"))
    assert (boxes != masks).any()


def test_evaluate(saved, dataset, tmp_path, capsys):
    command = ["evaluate", "--model", saved, "--size", "64", "--output", str(tmp_path / "out")]
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
    results = tmp_path / "results.json"
    without_size = [part for part in command if part not in ("--size", "64")]
    options = ["--json", "--pictures", "0", "--shortest-edge", "48", "--results", str(results)]
    assert main([*without_size, *options]) == 0
    assert json.loads(capsys.readouterr().out)["bbox"]["AP"] == pytest.approx(1)
    assert len(COCO(str(dataset[0])).loadRes(str(results)).anns) == 4  # pycocotools reads it
    scored = coco_metrics(data.ground_truth, json.loads(results.read_text()), "segm")
    assert scored["AP"] == pytest.approx(expected["segm"]["AP"], abs=0.05)
    assert main([*command, "--shortest-edge", "48"]) == 1
    assert "Give --size or --shortest-edge, not both" in capsys.readouterr().err


def test_evaluate_boxes_only(saved, dataset, tmp_path, capsys):
    """On request, and where the labels have no masks."""
    without = json.loads(dataset[0].read_text())
    for item in without["annotations"]:
        del item["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(without))
    command = ["evaluate", "--model", saved, "--size", "64", "--json", "--pictures", "0", "--images", str(dataset[1])]
    for options in (["--annotations", str(dataset[0]), "--no-masks"], ["--annotations", str(tmp_path / "boxes.json")]):
        assert main([*command, *options]) == 0
        assert json.loads(capsys.readouterr().out)["AP"] == pytest.approx(1)


def test_train(dataset, tmp_path, monkeypatch, capsys):
    """Trains two epochs and measures on the same images; draws a batch."""
    monkeypatch.setattr(detection, "mask_rcnn", functools.partial(mask_rcnn, **SMALL))
    command = ["train", "instances", "--model", "mambaout_test", "--weights", "none", "--image-size", "64"]
    command += ["--annotations", str(dataset[0]), "--images", str(dataset[1]), "--batch-size", "2"]
    command += ["--learning-rate", "1e-3", "--channels", "8"]
    output = tmp_path / "run"
    assert main([*command, "--epochs", "2", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "4 images for training, 4 for validation, 2 classes; 2 epochs in batches of 2 on 1 device," in printed
    assert "AP of boxes: best" in printed and "AP of masks: best" in printed
    assert f"written: {output}/best.keras, {output}/last.keras, {output}/history.csv" in printed
    assert {"best.keras", "last.keras", "history.csv", "settings.json", "classes.txt"} <= set(os.listdir(output))
    with open(output / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    losses = {"rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss"}
    assert losses | {"loss", "val_bbox_AP50", "val_segm_AP"} <= set(rows[0])
    model = load_model(output / "last.keras")
    assert model.num_classes == 2 and model.channels == 8 and model.finds_masks
    names = tuple(CocoDataset.from_json(*dataset).class_names)
    assert model.inference_settings == DetectionSettings(class_names=names, image_size=64)
    photo, folder = str(dataset[1] / "0.png"), ["--output", str(tmp_path / "pictures"), "--confidence", "0"]
    assert main(["predict", photo, "--model", str(output / "last.keras"), "--json", *folder]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    (found,) = detect(model, [load_image(photo)], image_size=64, confidence_threshold=0)
    assert [row["box"] for row in result["detections"]] == found["boxes"].tolist()
    assert [row["name"] for row in result["detections"]] == found["names"] and set(found["names"]) <= set(names)

    assert main([*command, "--preview", str(tmp_path / "batch.png")]) == 0
    assert (tmp_path / "batch.png").exists()
    assert "2 training images" not in capsys.readouterr().out  # as many as a preview shows, whatever the batch


def test_preview_at_several_scales(dataset, tmp_path):
    command = ["train", "instances", "--annotations", str(dataset[0]), "--images", str(dataset[1]), "--multi-scale"]
    assert main([*command, "--preview", str(tmp_path / "batch.png")]) == 0
    height, width = np.asarray(Image.open(tmp_path / "batch.png")).shape[:2]
    assert (height // 4, width) in ResizeRule(shortest_edge=MULTI_SCALE).buckets, "four images, one above the other"


def test_errors_of_training_are_one_line(dataset, tmp_path, capsys):
    command = ["train", "instances", "--model", "mambaout_test", "--output", str(tmp_path / "run")]
    command += ["--annotations", str(dataset[0]), "--images", str(dataset[1])]
    for options, message in (
        (["--accumulate", "3"], "does not go into 3 accumulated steps"),
        (
            ["--preview", str(tmp_path / "x.png"), "--resume"],
            "--preview does not train, so there is nothing to --resume",
        ),
        (["--multi-scale", "--image-size", "64"], "--multi-scale and --image-size are different ways"),
        (["--val-images", str(dataset[1])], "--val-images needs --val-annotations"),
    ):
        assert main([*command, *options, "--weights", "none"]) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
