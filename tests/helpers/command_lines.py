"""The command lines of all commands and tasks, as the parser has them, and what they need: tiny models and data."""

import argparse
import dataclasses
import json

import tiny_coco
import tiny_tasks
from PIL import Image

from keras_mambaout import cli
from keras_mambaout.commands import values

TASKS = {"classification": "classifier", "instances": "mask_rcnn", "semantic": "upernet"}  # -> its tiny model
CLASSES = ("a", "b", "c")


@dataclasses.dataclass
class Line:
    """A command, of a task if it has several, with the options that it takes.

    Args:
        words: The command: `["train", "instances"]`.
        task: The module of its task, or `None`.
        options: `{flag: argparse.Action}`.
    """

    words: list
    task: object
    options: dict

    def __str__(self):
        return " ".join([*self.words, *([self.task.TRAINING] if self.task and self.words[0] != "train" else [])])


def lines():
    """Returns all command lines that the parser knows."""
    found = []
    for words, parser in _leaves(cli.make_parser(), []):
        options = {action.option_strings[0]: action for action in parser._actions if action.option_strings}
        del options["-h"]
        given = parser.get_default("options")
        tasks = [task for task in cli.TASKS if words[0] != "train" or words[-1] == task.TRAINING]
        if given is None:
            found.append(Line(words, tasks[0] if words[0] == "train" else None, options))
            continue
        for task in tasks:
            foreign = [flag for flag, uses in given.options.items() if task not in uses]
            found.append(Line(words, task, {flag: options[flag] for flag in options if flag not in foreign}))
    return found


def _leaves(parser, words):
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subparsers:
        yield words, parser
    for action in subparsers:
        for name, command in action.choices.items():
            yield from _leaves(command, [*words, name])


def write(folder):
    """Writes a tiny model and tiny data for each task; returns `{name: path}`."""
    for task, kind in TASKS.items():
        tiny_tasks.create(kind).save(folder / f"{task}.keras")
    for part, count in (("train", 2), ("val", 1)):
        for name in CLASSES:
            (folder / "parts" / part / name).mkdir(parents=True)
            for number in range(count):
                grey = Image.new("RGB", (40, 36), (60 + 60 * number,) * 3)
                grey.save(folder / "parts" / part / name / f"{number}.png")
    (folder / "images").mkdir()
    (folder / "maps").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 36), (50 * number,) * 3).save(folder / "images" / f"{number}.png")
        Image.new("L", (40, 36), number).save(folder / "maps" / f"{number}.png")
    for split in ("training", "validation"):
        for kind, source in (("images", "images"), ("annotations", "maps")):
            (folder / "ade" / kind / split).mkdir(parents=True)
            Image.open(folder / source / "1.png").save(folder / "ade" / kind / split / "1.png")
    (folder / "coco").mkdir()
    labels, images = tiny_coco.write(folder / "coco")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (folder / "metrics.json").write_text(json.dumps({"top1": 0.5}))
    made = {path.stem: str(path) for path in folder.iterdir()}
    return {
        **made,
        "labels": str(labels),
        "coco_images": str(images),
        "folder": str(folder),
        "val": f"{made['parts']}/val",
    }


def base(line, made, output):
    """Returns a valid command line: the words, and what the command cannot do without, on tiny data."""
    task = line.task.TRAINING if line.task else None
    if line.words == ["list"]:
        return ["list"]
    if line.words == ["compare"]:
        return ["compare", "--model", made["classification"], "--size", "32", "--output", output]
    if line.words == ["export"]:
        return ["export", "--model", made["classification"], "--format", "onnx", "--output", output]
    if line.words == ["push"]:
        return ["push", "--model", made["classification"], "--repo", "me/tiny"]
    coco = ["--annotations", made["labels"], "--images", made["coco_images"]]
    maps = ["--images", made["images"], "--labels", made["maps"], "--classes", made["classes"]]
    classes = ["--data", made["parts"] if line.words[0] == "train" else made["val"]]
    data = {"classification": classes, "instances": coco, "semantic": maps}[task]
    if line.words[0] == "train":
        small = ["--model", "mambaout_test", "--weights", "none", "--image-size", "32", "--batch-size", "2"]
        return [*line.words, *data, *small, "--output", output]
    photos = [f"{made['images']}/1.png"] if line.words == ["predict"] else []
    writes = ["--output", output] if "--output" in line.options else []
    return [*line.words, *photos, "--model", made[task], "--size", "32", *writes, *(data if not photos else [])]


def right(line, action, made, output):
    """Returns what an option of a line takes, as it is typed."""
    if action.nargs == 0:
        return []
    if action.choices:
        return [list(action.choices)[-1]]
    if isinstance(action.type, values.Number):
        return [str(action.type.minimum if action.type.kind is int else 0.3)]
    known = {
        values.output_folder: output,
        values.picture: f"{output}.png",
        values.json_file: f"{output}.json",
        values.labels: "7, 255",
        values.batch_size: "2",
        values.devices: "1",
    }
    by_flag = {
        "--model": "mambaout_test" if line.words[0] == "train" else made[(line.task or cli.TASKS[0]).TRAINING],
        "--classes": made["classes"],
        "--metrics": made["metrics"],
        "--backends": "torch",
        "--images": made["images"],
        "--photos": made["images"],
    }
    return [known.get(action.type) or by_flag.get(action.option_strings[0], "text")]


def wrong(action, made):
    """Returns texts that an option refuses before anything is read."""
    if action.nargs == 0:
        return []
    if action.choices:
        return ["nonsense", ""]
    if isinstance(action.type, values.Number):
        number = action.type
        step = 1 if number.kind is int else 1e-12
        outside = [number.minimum - step, number.maximum if number.below else number.maximum * (1 + 1e-6) + (step == 1)]
        outside = [str(number.kind(value)) for value in outside]
        return [*outside, "9" * 30, "-1e400", "nan", "inf", "x", "", "1,2", *(["1.5"] if step == 1 else [])]
    return {
        values.output_folder: [
            made["labels"],
            f"{made['labels']}/below",
            "/dev/null",
            f"{made['folder']}/{'n' * 300}",
            "",
        ],
        values.picture: [
            made["images"],
            "x.jpg",
            f"{made['labels']}/x.png",
            "/dev/null",
            f"{'n' * 300}.png",
            ".png\0",
            "",
        ],
        values.json_file: [made["images"], "x.txt", "missing/x.json", "/dev/null", ""],
        values.labels: ["", "1;2", "-1", "1,,2", "70000", "x"],
        values.devices: ["", "0", "-1", "all", "1.5"],
        values.batch_size: ["", "0", "-1", "any", "1.5"],
        None: ["", " ", "a\0b", "\ud800"],
    }[action.type]
