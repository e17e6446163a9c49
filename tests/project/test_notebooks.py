"""The notebooks are the numbered examples, and both run."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jupytext
import keras
import nbclient
import nbformat
import PIL.Image
import pytest
import small_segmenter
import tiny_coco
from pycocotools import mask as coder

import keras_mambaout
from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation.ade20k import ade20k_classes

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = [path for path in sorted(ROOT.glob("examples/[0-9][0-9]_*.py")) if not path.name.startswith("00_")]
FROM_SCRATCH = [ROOT / "examples" / f"{stem}.py" for stem in ("05_train_imagenet", "09_is_ssm_needed")]  # no weights
EXECUTION_SECONDS = 900  # of one cell, on a busy machine


def notebook_of(script):
    return ROOT / "notebooks" / f"{script.stem}.ipynb"


def cells(notebook):
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def test_every_notebook_has_its_script():
    assert sorted(ROOT.glob("notebooks/*.ipynb")) == [notebook_of(script) for script in SCRIPTS], "run: make notebooks"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_its_script(script):
    converted, stored = jupytext.read(script), nbformat.read(notebook_of(script), as_version=4)
    nbformat.validate(stored)
    assert cells(stored) == cells(converted), f"{script.name} and its notebook differ; run: make notebooks"
    assert stored.metadata.kernelspec == converted.metadata.kernelspec, "run: make notebooks"
    outputs = [cell for cell in stored.cells if cell.get("outputs") or cell.get("execution_count")]
    assert not outputs, f"{script.name}: its notebook holds outputs; clear them, or delete it and run: make notebooks"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """A function that runs a notebook in `tmp_path` with other settings and returns what it printed."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = tmp_path / "jupyter" / "kernels" / "of-the-tests"
    kernel.mkdir(parents=True)
    spec = {"argv": argv, "display_name": "Python of the tests", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter" / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())

    def run(stem, **settings):
        notebook = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
        tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
        notebook.cells.insert(
            tags.index(["parameters"]) + 1, nbformat.v4.new_code_cell(f"vars(args).update({settings!r})")
        )
        del notebook.cells[tags.index(["install"])]
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(
            notebook, timeout=EXECUTION_SECONDS, kernel_name="of-the-tests", resources=resources
        ).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        figures = sum("image/png" in output.get("data", {}) for output in outputs)
        assert figures == 1, "a notebook shows its figure"
        return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")

    return run


@pytest.fixture
def weights(tmp_path):
    """Random weights of `mambaout_test` with 1000 classes, in place of published ones."""
    path = tmp_path / "weights.safetensors"
    keras_mambaout.save_safetensors(keras_mambaout.create_model("mambaout_test", weights=None), path)
    return str(path)


def test_classify_image(execute, weights, tmp_path):
    printed = execute("01_classify_image", model="mambaout_test", weights=weights, top=3)
    assert printed.splitlines()[0] == "a cat:"
    assert printed.count("%") == 3
    assert (tmp_path / "output" / "classify.png").stat().st_size > 10_000


@pytest.fixture
def flowers(data_dir, tmp_path):
    """A folder with two classes, 8 photos for training and 4 for validation."""
    for part, photos in (("train", 4), ("val", 2)):
        for name in ("daisy", "roses"):
            folder = tmp_path / "flowers" / part / name
            folder.mkdir(parents=True)
            for path in sorted((data_dir / "flowers" / part / name).glob("*.jpg"))[:photos]:
                shutil.copy(path, folder)
    return tmp_path / "flowers"


SMALL = {"model": "mambaout_test", "image_size": 64, "batch_size": 4, "output": "out"}


def test_finetune_flowers(execute, weights, flowers, tmp_path):
    settings = {"data_dir": str(flowers), "weights": weights, "frozen_epochs": 1, "epochs": 2}
    printed = execute("02_finetune_flowers", **SMALL, **settings)
    assert "8 photos for training, 4 for validation, 2 classes: daisy, roses" in printed
    assert "skipped" not in printed
    assert [line for line in printed.splitlines() if line.startswith("accuracy: ") and "% of 4 photos" in line]
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "classes.txt").read_text().split() == ["daisy", "roses"]
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model.output_shape == (None, 2)
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.exhaustive
def test_finetune_from_scratch_holds_out_a_fifth_and_skips_the_frozen_phase(execute, flowers):
    settings = {"data_dir": str(flowers / "train"), "weights": "none", "frozen_epochs": 1, "epochs": 2}
    printed = execute("02_finetune_flowers", **SMALL, **settings)
    assert "6 photos for training, 2 for validation" in printed
    assert "frozen phase skipped" in printed
    assert printed.count("Epoch 1/2") == 1 and "Epoch 1/1" not in printed


@pytest.mark.parametrize(
    "stem, box_format", [("03_detect_retinanet_kerascv", "rel_xywh"), ("04_detect_retinanet_kerashub", "yxyx")]
)
def test_detect(execute, data_dir, tmp_path, stem, box_format):
    coco = data_dir / "instances" / "coco128_train2017"
    settings = {
        "train_json": str(coco / "instances_train2017.json"),
        "train_images": str(coco / "images"),
        "limit": 8,
        "weights": "none",
        "box_format": box_format,
        "epochs": 1,
        "draw": 2,
        "confidence": 0.0,
    }
    printed = execute(stem, **{**SMALL, "image_size": 128}, **settings)
    assert "8 photos for training, 30 objects" in printed and "8 photos for validation, 30 objects" in printed
    assert "80 classes: person, bicycle, " in printed
    assert "|    AP |  AP50 |" in printed
    assert "detector.keras loaded: the same " in printed and " detections on 2 photos" in printed
    assert (tmp_path / "out" / "detections.png").stat().st_size > 100_000
    detector = load_model(tmp_path / "out" / "detector.keras")
    assert (detector.num_classes, detector.bounding_box_format) == (80, box_format)


def test_mask_rcnn(execute, data_dir, tmp_path):
    """Of two classes even an untrained head is sure enough for detections, which are drawn and exported."""
    coco = data_dir / "instances" / "coco128_train2017"
    labels = json.loads((coco / "instances_train2017.json").read_text())
    labels["images"] = [image for image in labels["images"] if image["id"] in (25, 34)]  # two giraffes, a zebra
    labels["annotations"] = [item for item in labels["annotations"] if item["image_id"] in (25, 34)]
    labels["categories"] = [item for item in labels["categories"] if item["name"] in ("giraffe", "zebra")]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    settings = {"train_json": "labels.json", "train_images": str(coco / "images"), "weights": "none", "channels": 32}
    small = {**SMALL, "batch_size": 2, "box_samples": 32, "epochs": 1}
    printed = execute("06_mask_rcnn_coco", **small, **settings, confidence=0.0)

    assert "2 photos for training, 3 objects" in printed and "2 photos for validation, 3 objects" in printed
    assert "2 classes: zebra, giraffe" in printed
    assert printed.count("|    AP |  AP50 |") == 2 and "boxes\n|" in printed and "masks\n|" in printed
    assert "detector.keras loaded: the same " in printed and " detections on 2 photos" in printed
    assert (tmp_path / "out" / "instances.png").stat().st_size > 100_000
    detector = load_model(tmp_path / "out" / "detector.keras")
    assert (detector.num_classes, detector.channels, detector.box_samples) == (2, 32, 32)
    results = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert results and {(item["image_id"], item["category_id"]) for item in results} <= {(25, 24), (25, 25)}
    for item in results:
        left, top, width, height = item["bbox"]
        assert 0 <= left <= left + width <= 640.01 and 0 <= top <= top + height <= 426.01
        mask = coder.decode(item["segmentation"])
        rows, columns = mask.nonzero()
        assert mask.shape == (426, 640)
        assert all((columns + 1 > left) & (columns < left + width) & (rows + 1 > top) & (rows < top + height))


def test_upernet(execute, data_dir, tmp_path):
    """Two scenes of ADE20K, in whose label maps classes are 1 to 150, and 0 does not count."""
    folder = data_dir / "scenes" / "ade20k"
    names, _ = ade20k_classes()
    for name in ("images", "annotations"):
        (tmp_path / name).mkdir()
        for path in sorted((folder / name).iterdir())[2:]:  # ADE_val_00000002 and 3
            shutil.copy(path, tmp_path / name)
    (tmp_path / "names.txt").write_text("\n".join(names))
    settings = {"images": "images", "labels": "annotations", "classes": "names.txt", "label_ids_from": 1, "ignored": 0}
    small = {"model": "mambaout_test", "weights": "none", "crop_size": 64, "channels": 16, "batch_size": 2, "epochs": 1}
    printed = execute("07_upernet_ade20k", **settings, **small, draw=2, multi_scale=True, output="out")

    assert "2 photos for training, 2 for validation, 150 classes" in printed
    assert "segmenter.keras loaded: the same classes" in printed and "at 6 sizes and mirrored" in printed
    assert printed.count("mIoU  ") == 2 and "share of pixels" in printed
    model = load_model(tmp_path / "out" / "segmenter.keras")
    assert (model.num_classes, model.channels, model.auxiliary_channels) == (150, 16, 8)
    classes = PIL.Image.open(tmp_path / "out" / "classes.png")
    assert classes.size == PIL.Image.open(folder / "images" / "ADE_val_00000002.jpg").size
    assert (tmp_path / "out" / "segmentation.png").stat().st_size > 100_000
    rows = (tmp_path / "out" / "classes.csv").read_text().splitlines()
    assert rows[0] == "name,IoU,accuracy,pixels" and len(rows) == 151


def test_train_imagenet(execute, flowers, tmp_path):
    settings = {"data_dir": str(flowers), "model": "mambaout_test", "image_size": 32, "batch_size": 4, "epochs": 2}
    printed = execute("05_train_imagenet", **settings, accumulate=2, output="out")
    assert "learning rate up to 3.9e-06, drop path 0.0, ClassificationAugmentation(" in printed
    assert "Epoch 2/2" in printed and "% of 4 images for validation" in printed
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000
    assert keras.models.load_model(tmp_path / "out" / "last.keras").output_shape == (None, 2)


def test_compare_backends(execute, tmp_path):
    settings = {"model": "mambaout_test", "backends": ["tensorflow", "torch"], "batch_size": 1, "size": 32, "steps": 2}
    printed = execute("08_compare_backends", **settings)
    assert "The backends agree." in printed and "| tensorflow / torch " in printed
    assert (tmp_path / "output" / "compare" / "compare.png").stat().st_size > 10_000


def test_is_ssm_needed(execute, tmp_path):
    printed = execute("09_is_ssm_needed", longest=8, blocks=1, steps=3, mixers=["conv_ssm", "identity"], output="a.png")
    lines = [line for line in printed.splitlines() if "parameters, right within 3 columns: " in line]
    assert [line.split()[0] for line in lines] == ["conv_ssm", "identity"]
    assert (tmp_path / "a.png").stat().st_size > 10_000


# Runs each script of argv as `python SCRIPT ARGUMENTS` would, in one process, and prints how they end.
RUN_SCRIPTS = """
import json, runpy, sys, traceback
ends = {}
for script, *arguments in json.loads(sys.argv[1]):
    sys.argv = [script, *map(str, arguments)]
    try:
        runpy.run_path(script, run_name="__main__")
        ends[script] = "went through"
    except SystemExit as end:
        ends[script] = end.code
    except BaseException:
        ends[script] = traceback.format_exc()
print(json.dumps(ends))
"""


def test_scripts_end_with_one_line_where_the_weights_cannot_be_downloaded(tmp_path):
    for photo in ("red/1.png", "red/2.png", "red/3.png", "blue/1.png", "blue/2.png", "blue/3.png"):
        path = tmp_path / "photos" / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (40, 40), path.parent.name).save(path)
    (tmp_path / "scenes").mkdir()
    scenes, maps, _ = map(str, small_segmenter.write(tmp_path / "scenes"))
    (tmp_path / "names.txt").write_text("red\ngreen\nblue")
    labels, images = map(str, tiny_coco.write(tmp_path))
    coco = ["--train-json", labels, "--train-images", images]
    arguments = {
        "01_classify_image": ["photos/red/1.png"],
        "02_finetune_flowers": ["--data-dir", "photos"],
        "03_detect_retinanet_kerascv": coco,
        "04_detect_retinanet_kerashub": coco,
        "06_mask_rcnn_coco": coco,
        "07_upernet_ade20k": ["--images", scenes, "--labels", maps, "--classes", "names.txt"],
        "08_compare_backends": ["--weights", "imagenet"],
    }
    scripts = [path for path in SCRIPTS if path not in FROM_SCRATCH]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": str(ROOT),
    }
    calls = json.dumps([[str(script), *arguments[script.stem]] for script in scripts])
    command = [sys.executable, "-c", RUN_SCRIPTS, calls]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    ends = json.loads(result.stdout.splitlines()[-1])
    assert list(ends) == list(map(str, scripts))
    for script, message in ends.items():  # a text that a script exits with is printed, with status 1
        assert isinstance(message, str), script
        assert (
            message.startswith("Could not download model.safetensors of timm/mambaout_") and "\n" not in message.strip()
        ), script
