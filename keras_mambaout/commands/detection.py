"""`keras-mambaout predict` and `evaluate` with `--task detection` or `instances`: a saved detector at work."""

import importlib.resources
import json
import os
import pathlib

from keras_mambaout.detection.average_precision import format_coco_metrics
from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.evaluation import evaluate_detector
from keras_mambaout.detection.inference import detect
from keras_mambaout.detection.pictures import draw_examples
from keras_mambaout.detection.predicted_masks import encode_masks, paste_masks
from keras_mambaout.files import save_picture
from keras_mambaout.models.saved import load_model
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.visualization.detections import draw_detections

DEFAULT_SIZE = 640
PICTURE_COLUMNS = 2
TITLES = {"bbox": "boxes", "segm": "masks"}


def predict(args):
    """Prints the objects of each photo, and draws them into a picture a photo."""
    model = _detector(args)
    photos = [load_image(path) for path in args.images]
    names = _class_names(args.classes, model.num_classes)
    size = DEFAULT_SIZE if args.size is None else args.size
    found = detect(model, photos, size, args.confidence, args.batch_size, masks="box")
    masks = args.task == "instances"
    if masks and "masks" not in found[0]:
        raise ValueError(f"The detector {args.model!r} finds boxes but no masks: use --task detection.")

    results, taken = [], set()
    for path, photo, objects in zip(args.images, photos, found, strict=True):
        drawn = paste_masks(objects["masks"], objects["boxes"], photo.shape[:2]) if masks else None
        picture = draw_detections(photo, objects["boxes"], objects["classes"], objects["confidence"], names, drawn)
        name = unused(f"{pathlib.Path(path).stem}_detections", taken)
        file = save_picture(picture, os.path.join(args.output, f"{name}.png"))
        detections = _rows(objects, names)
        if masks and args.json:
            encoded = encode_masks(objects["masks"], objects["boxes"], photo.shape[:2])
            detections = [{**row, "segmentation": runs} for row, runs in zip(detections, encoded, strict=True)]
        results.append({"image": path, "picture": file, "detections": detections})
    if args.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print(result["image"])
        for detection in result["detections"]:
            box = ", ".join(f"{value:.0f}" for value in detection["box"])
            print(f"  {detection['score']:7.2%}  {detection['name']} (left, top, right, bottom: {box})")
        if not result["detections"]:
            print(f"  nothing with a score of {args.confidence:g} or more")
        print(f"  picture: {result['picture']}")


def evaluate(args):
    """Prints COCO's average precision, and draws labels beside detections for the first images."""
    model = _detector(args)
    dataset = _dataset(args)
    size = DEFAULT_SIZE if args.size is None else args.size
    resizing = {"image_size": size} if args.shortest_edge is None else {"shortest_edge": args.shortest_edge}
    if args.task == "detection":
        metrics = evaluate_detector(model, dataset, args.batch_size, **resizing)
        printed, text = without_nan(metrics), format_coco_metrics(metrics)
    else:
        metrics = evaluate_detector(model, dataset, args.batch_size, **resizing, iou_type=tuple(TITLES))
        printed = {name: without_nan(values) for name, values in metrics.items()}
        text = "\n\n".join(f"{TITLES[name]}\n{format_coco_metrics(values)}" for name, values in metrics.items())
    print(json.dumps(printed, indent=2) if args.json else text)
    if args.pictures > 0:
        chosen = range(min(args.pictures, len(dataset)))
        picture = draw_examples(model, dataset, chosen, size, args.confidence, min(PICTURE_COLUMNS, len(chosen)))
        file = save_picture(picture, os.path.join(args.output, "detections.png"))
        if not args.json:
            print(f"Labels (left) and detections (right): {file}")


def _rows(objects, names):
    """Returns the objects of a photo as they are printed."""
    rows = zip(objects["boxes"].tolist(), objects["classes"].tolist(), objects["confidence"].tolist(), strict=True)
    return [{"name": names[index], "score": score, "box": box} for box, index, score in rows]


def without_nan(metrics):
    """Returns metrics as JSON can hold them: `None` instead of NaN."""
    return {name: None if value != value else value for name, value in metrics.items()}


def _detector(args):
    if args.model is None:
        raise ValueError(f"--task {args.task} needs --model: the .keras file of a saved detector.")
    model = load_model(args.model)
    if not hasattr(model, "bounding_box_format"):
        raise ValueError(f"{args.model!r} holds a {type(model).__name__}, which is no detector.")
    return model


def _dataset(args):
    if args.tfds and not (args.annotations or args.images):
        return CocoDataset.from_tfds(args.tfds, args.split)
    if args.annotations and args.images and not args.tfds:
        return CocoDataset.from_json(args.annotations, args.images)
    raise ValueError("Give --annotations FILE and --images FOLDER, or --tfds NAME.")


def _class_names(path, num_classes):
    """The names in a file; without one COCO's if there are 80 classes, else numbers."""
    if path is None:
        text = importlib.resources.files("keras_mambaout.detection").joinpath("coco_classes.txt").read_text()
        names = text.splitlines()
        return names if len(names) == num_classes else [str(number) for number in range(num_classes)]
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        if path.endswith(".json"):
            categories = sorted(json.loads(text)["categories"], key=lambda category: category["id"])
            names = [category["name"] for category in categories]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--classes {path!r} is no text file of names and no JSON file of COCO's: {error}") from error
    if len(names) != num_classes:
        raise ValueError(f"--classes {path!r} has {len(names)} names, the detector has {num_classes} classes.")
    return names


def unused(name, taken):
    """Returns a file name that no other photo of this run has."""
    number = 1
    while (unique := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    taken.add(unique)
    return unique
