"""Object detection on the command line: the objects in photos, average precision, and training Mask R-CNN."""

import argparse
import dataclasses
import importlib.resources
import itertools
import os
import pathlib

import keras
import numpy as np

from keras_mambaout.commands import training, values
from keras_mambaout.commands.class_names import names_for
from keras_mambaout.commands.printing import print_json, print_unreadable, unused_name
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.detection.annotation_checks import POLICIES
from keras_mambaout.detection.average_precision import format_coco_metrics
from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.evaluation import evaluate_detector
from keras_mambaout.detection.inference import detect
from keras_mambaout.detection.pictures import draw_examples
from keras_mambaout.detection.predicted_masks import encode_masks, paste_masks
from keras_mambaout.detection.recipe import MULTI_SCALE, InstanceSegmentationRecipe
from keras_mambaout.files import check_output_folder, save_picture
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.visualization.detections import draw_detections

NAME = "object detection"
MODEL = "an object detector"
TRAINING = "instances"
PICTURE_COLUMNS = 2
PREVIEW_IMAGES = 4
TITLES = {"bbox": "boxes", "segm": "masks"}
METRICS = {
    f"val_{name}_AP": f"AP of {what}: best {{best:.3f}} in epoch {{epoch}}, last {{last:.3f}}"
    for name, what in TITLES.items()
}


def fits(model: keras.Model) -> bool:
    """Returns whether a model is a detector, of this package or of KerasCV or KerasHub."""
    return hasattr(model, "bounding_box_format")


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of this task to `predict`, `evaluate` or `train`."""
    if command == "train":
        _add_training_arguments(parser)
        return
    batch_size = {"predict": 32, "evaluate": 8}[command]
    parser.add_argument(
        "--size",
        type=values.SIDE,
        metavar="PIXELS",
        help="images are resized to fit in (default: the model's, else 640)",
    )
    parser.add_argument(
        "--batch-size",
        type=values.IMAGES,
        metavar="N",
        default=batch_size,
        help="images at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--confidence",
        type=values.SHARE,
        metavar="SHARE",
        default=0.5,
        help="lowest confidence to be shown (default: %(default)s)",
    )
    parser.add_argument(
        "--no-masks", action="store_true", help="boxes only, also of a detector that finds masks (default: both)"
    )
    parser.add_argument(
        "--output",
        type=values.output_folder,
        default="output",
        metavar="FOLDER",
        help="for pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--shortest-edge",
        type=values.SIDE,
        metavar="PIXELS",
        help="of the images in pixels, instead of --size (default: the model's)",
    )
    if command == "predict":
        parser.add_argument(
            "--classes",
            metavar="FILE",
            help="names of the classes, one per line, or COCO's JSON file (default: the model's)",
        )
        return
    parser.add_argument("--annotations", metavar="FILE", help="labels in COCO's JSON format")
    parser.add_argument("--images", metavar="FOLDER", help="the images that the labels are for")
    parser.add_argument("--tfds", metavar="NAME", help="of TensorFlow Datasets: coco/2017, voc/2007, ...")
    parser.add_argument("--data-dir", metavar="FOLDER", help="of the prepared data of TensorFlow Datasets")
    parser.add_argument("--split", help="of TensorFlow Datasets (default: validation)")
    _add_invalid(parser)
    parser.add_argument(
        "--results",
        type=values.json_file,
        metavar="FILE",
        help="JSON: the detections in COCO's format of results",
    )
    parser.add_argument(
        "--pictures",
        type=values.PICTURES,
        metavar="N",
        default=8,
        help="how many images to draw (default: %(default)s)",
    )


def predict(args: argparse.Namespace, model: keras.Model) -> None:
    """Prints the objects in each photo, with masks if the model finds them, and draws one picture per photo."""
    sizes = _sizes(args)
    check_output_folder(args.output)
    photos = [load_image(path) for path in args.images]
    names = names_for(args, model, model.num_classes, _coco_classes())
    found = detect(model, photos, **sizes, confidence_threshold=args.confidence, masks="box")
    results, taken = [], set()
    for path, photo, objects in zip(args.images, photos, found, strict=True):
        masks = None if args.no_masks else objects.get("masks")
        boxes, size = objects["boxes"], photo.shape[:2]
        drawn = None if masks is None else paste_masks(masks, boxes, size)
        picture = draw_detections(photo, boxes, objects["classes"], objects["confidence"], names, drawn)
        name = unused_name(f"{pathlib.Path(path).stem}_detections", taken)
        file = save_picture(picture, os.path.join(args.output, f"{name}.png"))
        rows = _rows(objects, names)
        if masks is not None and args.json:
            encoded = encode_masks(masks, boxes, size)
            rows = [{**row, "segmentation": runs} for row, runs in zip(rows, encoded, strict=True)]
        results.append({"image": path, "picture": file, "detections": rows})
    if args.json:
        print_json(results)
        return
    for result in results:
        print(result["image"])
        for row in result["detections"]:
            box = ", ".join(f"{value:.0f}" for value in row["box"])
            print(f"  {row['confidence']:7.2%}  {row['name']} (left, top, right, bottom: {box})")
        if not result["detections"]:
            print(f"  nothing with a confidence of {args.confidence:g} or more")
        print(f"  picture: {result['picture']}")


def evaluate(args: argparse.Namespace, model: keras.Model) -> None:
    """Prints COCO's average precision of boxes, and of masks if model and labels have them; draws the first images."""
    sizes = _sizes(args)
    if args.pictures:
        check_output_folder(args.output)
    dataset = _dataset(args)
    masks = getattr(model, "finds_masks", False) and not args.no_masks and dataset.has_masks
    iou_type = tuple(TITLES) if masks else "bbox"
    metrics = evaluate_detector(model, dataset, **sizes, iou_type=iou_type, results=args.results)
    if args.json:
        print_json(metrics)
    elif masks:
        print("\n\n".join(f"{TITLES[name]}\n{format_coco_metrics(numbers)}" for name, numbers in metrics.items()))
    else:
        print(format_coco_metrics(metrics))
    if not args.json:
        print_unreadable(dataset)
        if args.results:
            print(f"Detections in COCO's format: {args.results}")
    if args.pictures:
        indices = [index for index, _ in itertools.islice(dataset.examples(), args.pictures)]
        columns = min(PICTURE_COLUMNS, len(indices))
        picture = draw_examples(model, dataset, indices, args.size, args.shortest_edge, None, args.confidence, columns)
        file = save_picture(picture, os.path.join(args.output, "detections.png"))
        if not args.json:
            print(f"Labels (left) and detections (right): {file}")


def train(args: argparse.Namespace) -> None:
    """Train Mask R-CNN on labels in COCO's format."""
    if args.multi_scale and args.image_size is not None:
        raise ValueError("--multi-scale and --image-size are different ways to resize images: leave one of them out.")
    scales = MULTI_SCALE if args.multi_scale else None
    recipe = InstanceSegmentationRecipe.paper(args.model)
    recipe = training.with_arguments(recipe, args, image_size=args.image_size, multi_scale=scales)
    if args.epochs is not None:
        milestones = tuple(max(1, round(epoch * args.epochs / recipe.epochs)) for epoch in recipe.milestones)
        recipe = dataclasses.replace(recipe, epochs=args.epochs, milestones=milestones)

    def make_model(num_classes, weights):
        return mask_rcnn(
            training.network(args),
            num_classes,
            weights=weights,
            drop_path_rate=recipe.drop_path_rate,
            dtype=args.precision,
            channels=args.channels,
            seed=args.seed,
            name=f"{args.model}_mask_rcnn",
        )

    training.run(args, recipe, lambda: _datasets(args), make_model, _draw_batch, PREVIEW_IMAGES, METRICS)


def _add_training_arguments(parser):
    parser.add_argument("--annotations", required=True, metavar="FILE", help="labels in COCO's JSON format")
    parser.add_argument("--images", required=True, metavar="FOLDER", help="the images that the labels are for")
    parser.add_argument("--val-annotations", metavar="FILE", help="for validation (default: those for training)")
    parser.add_argument("--val-images", metavar="FOLDER", help="for validation (default: those for training)")
    _add_invalid(parser)
    recipe = InstanceSegmentationRecipe.paper("mambaout_tiny")
    training.add_arguments(
        parser,
        weights="imagenet",
        image_size="images are resized to fit in this many pixels (default: the short side is "
        f"{recipe.shortest_edge}, the long one at most {recipe.longest_edge})",
        paper=recipe,
    )
    parser.add_argument(
        "--multi-scale",
        action="store_true",
        help=f"draw the short side of each training image from {MULTI_SCALE[0]}, {MULTI_SCALE[1]}, ..., "
        f"{MULTI_SCALE[-1]} (default: {recipe.shortest_edge} for all)",
    )
    parser.add_argument(
        "--channels", type=values.CHANNELS, metavar="N", default=256, help="of the heads (default: %(default)s)"
    )


def _add_invalid(parser):
    parser.add_argument(
        "--invalid",
        choices=POLICIES,
        default=POLICIES[0],
        help="error, or skip to leave out wrong annotations and images (default: %(default)s)",
    )


def _datasets(args):
    if args.val_images and not args.val_annotations:
        raise ValueError("--val-images needs --val-annotations, the labels of these images.")
    data = CocoDataset.from_json(args.annotations, args.images, args.invalid)
    if not args.val_annotations:
        return data, data
    val_data = CocoDataset.from_json(args.val_annotations, args.val_images or args.images, args.invalid)
    if val_data.class_names != data.class_names:
        raise ValueError(
            f"{args.val_annotations!r} has other classes ({', '.join(val_data.class_names[:5])}, ...) than "
            f"{args.annotations!r} ({', '.join(data.class_names[:5])}, ...)."
        )
    return data, val_data


def _draw_batch(batch, class_names):
    inputs, labels = batch
    pictures = []
    for image, boxes, classes, masks in zip(
        inputs["images"], labels["boxes"], labels["classes"], labels["masks"], strict=True
    ):
        drawn = paste_masks(masks, boxes, image.shape[:2])
        pictures.append(draw_detections(image, boxes, classes, class_names=class_names, masks=drawn))
    return np.concatenate(pictures)


def _dataset(args):
    if args.tfds and not (args.annotations or args.images or args.invalid != POLICIES[0]):
        return CocoDataset.from_tfds(args.tfds, args.split or "validation", args.data_dir)
    if args.annotations and args.images and not args.tfds:
        if args.split or args.data_dir:
            raise ValueError("--split and --data-dir are for --tfds: leave them out for --annotations and --images.")
        if args.results and os.path.exists(args.results) and os.path.samefile(args.results, args.annotations):
            raise ValueError(f"--results would overwrite the labels in {args.annotations!r}: give another file.")
        return CocoDataset.from_json(args.annotations, args.images, args.invalid)
    raise ValueError("Give --annotations FILE and --images FOLDER, perhaps with --invalid, or --tfds NAME.")


def _sizes(args):
    """Returns how many images are looked at together, and at which size."""
    if args.size is not None and args.shortest_edge is not None:
        raise ValueError("Give --size or --shortest-edge, not both.")
    return {"batch_size": args.batch_size, "image_size": args.size, "shortest_edge": args.shortest_edge}


def _rows(objects, names):
    """Returns the objects of a photo as they are printed."""
    columns = (objects[key].tolist() for key in ("boxes", "classes", "confidence"))
    rows = zip(*columns, strict=True)
    return [{"name": names[index], "confidence": confidence, "box": box} for box, index, confidence in rows]


def _coco_classes():
    text = importlib.resources.files("keras_mambaout.detection").joinpath("coco_classes.txt").read_text()
    return text.splitlines()
