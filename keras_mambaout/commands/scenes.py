"""`keras-mambaout predict` and `evaluate` with `--task scenes`: a saved UperNet at work."""

import json
import os
import pathlib
import re

import numpy as np
from PIL import Image

from keras_mambaout.commands.detection import unused, without_nan
from keras_mambaout.files import save_picture, write_whole
from keras_mambaout.models.saved import load_model
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.dataset import SegmentationDataset
from keras_mambaout.segmentation.evaluation import evaluate_segmenter
from keras_mambaout.segmentation.inference import MULTI_SCALE, segment
from keras_mambaout.segmentation.mean_iou import format_segmentation_metrics
from keras_mambaout.segmentation.pictures import class_palette, draw_segmentation
from keras_mambaout.segmentation.uper.model import UperNet

DEFAULT_SIZE = 512
LONGEST_EDGES = 4  # the long side of an image is at most so many short ones, as the paper's 2048 and 512


def predict(args):
    """Prints the classes of each photo, and writes a picture and a label map a photo."""
    model = _segmenter(args)
    photos = [load_image(path) for path in args.images]
    names = _class_names(args.classes, model.num_classes)
    palette = class_palette(names)
    found = segment(model, photos, **_options(args))

    results, taken = [], set()
    for path, photo, classes in zip(args.images, photos, found, strict=True):
        name = unused(pathlib.Path(path).stem, taken)
        picture = draw_segmentation([photo], [classes], class_names=names, palette=palette)
        file = save_picture(picture, os.path.join(args.output, f"{name}_scene.png"))
        label_map = os.path.join(args.output, f"{name}_classes.png")
        _save_label_map(classes, palette, label_map)
        shares = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
        best = [int(index) for index in np.argsort(-shares, kind="stable") if shares[index]]
        rows = [{"name": names[index], "share": float(shares[index])} for index in best]
        results.append({"image": path, "picture": file, "label_map": label_map, "classes": rows})
    if args.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print(result["image"])
        for row in result["classes"][: args.top]:
            print(f"  {row['share']:7.2%}  {row['name']}")
        print(f"  picture: {result['picture']}, class of each pixel: {result['label_map']}")


def evaluate(args):
    """Prints the metrics of ADE20K, and draws predictions and labels of the first images."""
    model = _segmenter(args)
    dataset = scene_dataset(args, args.split, args.images, args.labels)
    options = _options(args)
    metrics = evaluate_segmenter(model, dataset, **options)
    printed = {**metrics, "classes": [without_nan(row) for row in metrics["classes"]]}
    print(json.dumps(printed, indent=2) if args.json else format_segmentation_metrics(metrics))
    if args.pictures > 0:
        photos, labels = zip(*(dataset.load(number) for number in range(min(args.pictures, len(dataset)))), strict=True)
        picture = draw_segmentation(photos, segment(model, photos, **options), labels, dataset.class_names)
        file = save_picture(picture, os.path.join(args.output, "scenes.png"))
        if not args.json:
            print(f"Images, predictions and labels: {file}")


def scene_dataset(args, split, images, labels):
    """Returns the data set that is named: a split of ADE20K in `--data`, or folders of images and of label maps."""
    folders = (images, labels, args.classes)
    if args.data and not any(folders):
        return SegmentationDataset.from_ade20k(args.data, split)
    if not args.data and all(folders):
        names, numbers = _read_classes(args.classes)
        ignored = [255] if args.ignored is None else _numbers(args.ignored)
        return SegmentationDataset.from_folder(images, labels, names, numbers, ignore_ids=ignored)
    raise ValueError(
        "--task scenes needs --data FOLDER (ADEChallengeData2016), or --images FOLDER, --labels FOLDER and --classes "
        "FILE."
    )


def _options(args):
    """Returns how `segment` and `evaluate_segmenter` look at images."""
    size = DEFAULT_SIZE if args.size is None else args.size
    shortest_edge = size if args.shortest_edge is None else args.shortest_edge
    sizes = {"crop_size": size, "stride": max(1, 2 * size // 3), "shortest_edge": shortest_edge}
    views = {"scales": MULTI_SCALE, "flip": True} if args.multi_scale else {}
    return {**sizes, "longest_edge": LONGEST_EDGES * shortest_edge, **views, "batch_size": args.batch_size}


def _segmenter(args):
    if args.model is None:
        raise ValueError("--task scenes needs --model: the .keras file of a saved UperNet.")
    model = load_model(args.model)
    if not isinstance(model, UperNet):
        raise ValueError(f"{args.model!r} holds a {type(model).__name__}, which is no UperNet: use another --task.")
    return model


def _class_names(path, num_classes):
    """The names in a file; without one ADE20K's if there are 150 classes, else numbers."""
    if path is None:
        names, _ = ade20k_classes()
        return names if len(names) == num_classes else [str(number) for number in range(num_classes)]
    names, _ = _read_classes(path)
    if len(names) != num_classes:
        raise ValueError(f"--classes {path!r} has {len(names)} names, the model has {num_classes} classes.")
    return names


def _read_classes(path):
    """Returns the names in a file, and their numbers if its lines are `number: name`, else `None`."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"--classes {path!r} is no text file of names: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*:\s*(.+)", line) for line in lines]
    if not all(numbered):
        return lines, None
    return [match[2] for match in numbered], [int(match[1]) for match in numbered]


def _numbers(text):
    """Returns numbers that are divided by commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"--ignored must be numbers with commas between them, such as 0,255, got {text!r}.")
    return [int(part) for part in parts]


def _save_label_map(classes, palette, path):
    """Writes classes as an index PNG, which shows them in their colours."""
    image = Image.fromarray(classes.astype("uint8"))
    image.putpalette(palette.ravel().tolist())
    try:
        write_whole(path, lambda part: image.save(part, format="PNG"))
    except OSError as error:
        raise ValueError(f"Cannot write the label map {path!r}: {error}") from error
