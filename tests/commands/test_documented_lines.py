"""The lines of README and docs/training.md on training, detection and segmentation run word for word.

What they name is there: small photos and labels under the names they use, a hub on this machine, and the smallest
variant under the name `mambaout_tiny`. Of the lines themselves sizes and counts alone are replaced (`REPLACED`), those
of the recipes by `SHORT`, and the heads are narrow.
"""

import contextlib
import dataclasses
import functools
import io
import pathlib
import re
import shlex
import shutil

import matplotlib
import numpy as np
import pytest
import seeded
import small_segmenter
import white
from hub_server import HubServer
from paths import ROOT
from PIL import Image

from keras_mambaout import cli, config
from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe
from keras_mambaout.detection import InstanceSegmentationRecipe, rcnn
from keras_mambaout.segmentation import SemanticSegmentationRecipe, uper

pytestmark = pytest.mark.first_on("torch")  # the lines are the same everywhere

README, TRAINING = ((ROOT / name).read_text() for name in ("README.md", "docs/training.md"))
REPLACED = [  # whole words
    (r"epochs=\d+", "epochs=1"),
    (r"(image_size|crop_size|_edge)=\d+", r"\1=32"),
    (r"(batch_size=|batches\()\d+", r"\g<1>2"),
    (r"--accumulate \d+", "--accumulate 2"),
    (r"range\(8\)", "range(2)"),
]
SHORT = {
    ClassificationRecipe: {"epochs": 1, "batch_size": 2, "image_size": 32, "warmup_epochs": 0},
    InstanceSegmentationRecipe: {"epochs": 1, "batch_size": 2, "shortest_edge": 32, "longest_edge": 64},
    SemanticSegmentationRecipe: {
        "epochs": 1,
        "batch_size": 2,
        "crop_size": 32,
        "shortest_edge": 32,
        "longest_edge": 64,
    },
}
NARROW = [
    (rcnn.factory, "MaskRCNN", {"channels": 8, "proposals": 20, "box_samples": 8, "max_detections": 5}),
    (uper.factory, "UperNet", {"channels": 16, "auxiliary_channels": 8}),
]
SECTIONS = {
    "fine-tune": [(README, "Fine-tune"), (TRAINING, "Quantization, LoRA, less memory")],
    "train": [
        (README, "Train: your classes, or ImageNet"),
        (README, "A trained model knows its task"),
        (README, "Share"),
    ],
    "detect": [(README, "Detect objects")],
    "instances": [(README, "Instance segmentation: Mask R-CNN")],
    "semantic": [(README, "Semantic segmentation: UperNet")],
    "docs-classification": [(TRAINING, "Your own images"), (TRAINING, "ImageNet by the paper's recipe")],
    "docs-instances": [(TRAINING, "Mask R-CNN on COCO by the paper's recipe")],
    "docs-semantic": [(TRAINING, "UperNet on ADE20K by the paper's recipe")],
}


def blocks(text, title):
    """Yields the language and the lines of each block of a section."""
    (section,) = re.findall(rf"\n## {re.escape(title)}.*?\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
    found = re.findall(r"```(python|bash)\n(.*?)```", section, re.DOTALL)
    assert found, f"no lines under {title}"
    for language, lines in found:
        for pattern, by in REPLACED:
            lines = re.sub(pattern, by, lines)
        yield language, lines


def run_commands(lines):
    for line in lines.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            words, file = (words[:-2], words[-1]) if ">" in words else (words, None)
            assert words[0] == "keras-mambaout", line
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                assert cli.main(words[1:]) == 0, line
            if file:
                pathlib.Path(file).write_text(printed.getvalue())


@pytest.fixture
def named_files(tmp_path, monkeypatch):
    """The working directory has what the lines name."""
    for part, count in (("train", 2), ("val", 1)):
        for name in ("daisy", "rose"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(seeded.photo(40 + number, 48)).save(folder / f"{number}.jpg")
    (tmp_path / "imagenet2012").symlink_to("photos")
    (tmp_path / "annotations").mkdir()
    for part in ("train2017", "val2017"):
        (tmp_path / part).mkdir()
        path, _ = white.write(tmp_path / part)
        path.rename(tmp_path / "annotations" / f"instances_{part}.json")
    for part in ("training", "validation"):
        folders = [tmp_path / "ADEChallengeData2016" / kind / part for kind in ("images", "annotations")]
        small_segmenter.write(tmp_path, [(40, 60)] * 2)
        for folder, kind in zip(folders, ("images", "labels"), strict=True):
            folder.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / kind).rename(folder)
        for path in folders[1].iterdir():
            labels = np.asarray(Image.open(path))
            Image.fromarray(np.where(labels == 255, 0, labels + 1).astype("uint8")).save(path)
    Image.fromarray(seeded.photo(60, 80)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)


def narrow(made, numbers, *args, **kwargs):
    return made(*args, **{**kwargs, **numbers})


def shortened(made, numbers, variant):
    return dataclasses.replace(made(variant), **numbers)


@pytest.fixture
def small(tmp_path, monkeypatch, seeded_file):
    """`mambaout_tiny` is the smallest variant, a hub has its weights, and recipes are short."""
    monkeypatch.setitem(config.VARIANTS, "mambaout_tiny", config.VARIANTS["mambaout_test"])
    for recipe, numbers in SHORT.items():
        for name in {"paper", "finetune"} & set(dir(recipe)):
            made = getattr(recipe, name)
            monkeypatch.setattr(recipe, name, functools.partial(shortened, made, numbers))

    for factory, name, numbers in NARROW:
        made = getattr(factory, name)
        monkeypatch.setattr(factory, name, functools.partial(narrow, made, numbers))

    def from_tfds(name, split="train", data_dir=None):
        others = [f"class {number}" for number in range(998)]
        folder = f"{name}/{'val' if split == 'validation' else split}"
        return ClassificationDataset.from_folder(folder, ["daisy", "rose", *others])

    monkeypatch.setattr(ClassificationDataset, "from_tfds", from_tfds)
    with HubServer().connected(monkeypatch, tmp_path / "cache") as server:
        server.add("timm/mambaout_tiny.in1k", pathlib.Path(seeded_file("mambaout_test")).read_bytes())
        server.users["hf_me"] = ("me", True)
        monkeypatch.setenv("HF_TOKEN", "hf_me")
        yield


@pytest.mark.parametrize(
    "sections",
    [pytest.param(SECTIONS[key], marks=pytest.mark.exhaustive if key.startswith("docs") else []) for key in SECTIONS],
    ids=SECTIONS,
)
def test_lines_run(sections, named_files, small):
    matplotlib.use("agg")
    names = {"images": np.stack([seeded.photo(40, 40)] * 2).astype("float32"), "labels": np.array([0, 1])}
    for text, title in sections:
        for language, lines in blocks(text, title):
            if language == "bash":
                run_commands(lines)
            else:
                if "train(" in lines:
                    shutil.rmtree("output", ignore_errors=True)  # where the same training in a shell has written
                exec(compile(lines, title, "exec"), names)
