"""The command line: `keras-mambaout predict`, `train`, `evaluate`, `compare` and `list`."""

import argparse
import sys

from keras_mambaout.commands import (
    classification,
    detection,
    scenes,
    training,
    training_instances,
    training_scenes,
)
from keras_mambaout.compare import BACKENDS, TOLERANCES, compare_backends, format_report
from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import list_models
from keras_mambaout.weights.hub import DownloadError
from keras_mambaout.weights.pretrained import PUBLISHED

TASKS = {"classification": classification, "detection": detection, "instances": detection, "scenes": scenes}
TRAINING = {"classification": training, "instances": training_instances, "scenes": training_scenes}
PREDICTION_BATCH_SIZES = {"classification": 32, "detection": 32, "instances": 32, "scenes": 1}
EVALUATION_BATCH_SIZES = {"classification": 32, "detection": 8, "instances": 8, "scenes": 1}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def main(arguments=None):
    """Runs one command and returns its exit status: 0, or 1 after a one-line error or a disagreement."""
    args = _parser().parse_args(arguments)
    try:
        status = args.run(args)
    except (ValueError, DownloadError, ImportError) as error:
        print(f"keras-mambaout: error: {error}", file=sys.stderr)
        return 1
    return status or 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-mambaout",
        description="MambaOut for Keras 3. The environment variable KERAS_BACKEND chooses tensorflow, jax or torch.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="name what is in photos, find objects and masks, or label pixels")
    predict.set_defaults(run=_predict)
    predict.add_argument("images", nargs="+", metavar="PHOTO", help="image file")
    predict.add_argument("--task", default="classification", choices=TASKS, help="(default: %(default)s)")
    predict.add_argument("--model", help="one of `keras-mambaout list` (default: mambaout_tiny); or a .keras file")
    predict.add_argument("--weights", default="imagenet", help="imagenet, a published tag, or a .safetensors path")
    predict.add_argument(
        "--size",
        type=int,
        help="side of the images in pixels (default: of the weights; detectors: 640; windows of scenes: 512)",
    )
    predict.add_argument("--top", type=int, default=5, help="classes to print for a photo (default: %(default)s)")
    predict.add_argument(
        "--batch-size", type=int, help="photos at a time (default: 32), of scenes windows (default: 1)"
    )
    predict.add_argument("--json", action="store_true", help="print JSON instead of text")
    _add_drawing_arguments(predict)
    options = _add_scene_arguments(predict)
    options.add_argument("--shortest-edge", type=int, help="short side of the photos in pixels (default: --size)")

    train = commands.add_parser(
        "train", help="train a classifier on class folders, Mask R-CNN on COCO, or UperNet on ADE20K"
    )
    train.set_defaults(run=_train)
    train.add_argument("--task", default="classification", choices=list(TRAINING), help="(default: %(default)s)")
    _add_training_arguments(train)

    evaluate = commands.add_parser("evaluate", help="measure a model on a data set")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("--task", default="classification", choices=TASKS, help="(default: %(default)s)")
    evaluate.add_argument("--model", help="one of `keras-mambaout list` (default: mambaout_tiny); or a .keras file")
    evaluate.add_argument("--weights", default="imagenet", help="imagenet, a published tag, or a .safetensors path")
    evaluate.add_argument(
        "--data", help="folder of class folders, a name of TensorFlow Datasets, or for scenes ADEChallengeData2016"
    )
    evaluate.add_argument("--data-dir", metavar="FOLDER", help="of TensorFlow Datasets' prepared data")
    evaluate.add_argument(
        "--split", default="validation", help="of TensorFlow Datasets or ADE20K (default: %(default)s)"
    )
    evaluate.add_argument(
        "--size",
        type=int,
        help="side of the images in pixels (default: of the weights; detectors: 640; windows of scenes: 512)",
    )
    evaluate.add_argument("--crop-pct", type=float, help="share of the image that is kept (default: of the weights)")
    evaluate.add_argument(
        "--batch-size", type=int, help="images at a time (default: 32; detectors: 8; windows of scenes: 1)"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of text")
    options = _add_drawing_arguments(evaluate)
    options.add_argument("--annotations", metavar="FILE", help="labels in COCO's JSON format")
    options.add_argument("--images", metavar="FOLDER", help="folder of the images that the labels are for")
    options.add_argument("--tfds", metavar="NAME", help="instead of files: coco/2017, voc/2007, ...")
    options.add_argument(
        "--shortest-edge", type=int, help="in pixels: instead of --size for AP, or of scenes' images (default: --size)"
    )
    options.add_argument("--pictures", type=int, default=8, help="how many images to draw (default: %(default)s)")
    _add_label_map_arguments(_add_scene_arguments(evaluate))

    comparison = commands.add_parser("compare", help="compare backends: speed, memory, and whether they agree")
    comparison.set_defaults(run=_compare)
    comparison.add_argument("--model", default="mambaout_tiny", help="model name or .keras file (default: %(default)s)")
    comparison.add_argument("--weights", help="imagenet, a published tag or a file (default: drawn)")
    comparison.add_argument("--backends", default=",".join(BACKENDS), help="with commas (default: %(default)s)")
    comparison.add_argument("--batch-size", type=int, default=8, help="images in the batch (default: %(default)s)")
    comparison.add_argument("--size", type=int, default=224, help="side of the images in pixels (default: %(default)s)")
    comparison.add_argument("--precision", default="float32", choices=list(TOLERANCES), help="(default: %(default)s)")
    comparison.add_argument("--steps", type=int, default=20, help="timed calls and steps of fit (default: %(default)s)")
    comparison.add_argument("--images", metavar="FOLDER", help="folder of images (default: noise)")
    comparison.add_argument("--output", default="compare", metavar="FOLDER", help="(default: %(default)s)")

    listing = commands.add_parser("list", help="list models and their published weights")
    listing.set_defaults(run=_list)
    listing.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names, such as '*rw*'")
    return parser


def _add_drawing_arguments(parser):
    options = parser.add_argument_group("detection, instances and scenes")
    options.add_argument("--confidence", type=float, default=0.5, help="score that is shown (default: %(default)s)")
    options.add_argument("--classes", metavar="FILE", help="names of the classes, a line each, or COCO's JSON file")
    options.add_argument("--output", default="output", metavar="FOLDER", help="for pictures (default: %(default)s)")
    return options


def _add_scene_arguments(parser):
    options = parser.add_argument_group("scenes")
    options.add_argument("--multi-scale", action="store_true", help="look at six sizes, and mirrored, as the paper")
    return options


def _add_label_map_arguments(options):
    options.add_argument("--labels", metavar="FOLDER", help="PNGs with the class of each pixel, named as the --images")
    options.add_argument("--ignored", metavar="NUMBERS", help="in them of pixels that do not count (default: 255)")


def _add_training_arguments(parser):
    parser.add_argument("--model", default="mambaout_tiny", help="model name (default: %(default)s)")
    parser.add_argument(
        "--weights", help="to start from: imagenet, none, a published tag or a file (default: of recipe)"
    )
    parser.add_argument(
        "--data", help="folder of class folders, a name of TensorFlow Datasets, or for scenes ADEChallengeData2016"
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="of TensorFlow Datasets' prepared data")
    parser.add_argument("--recipe", default="finetune", choices=["paper", "finetune"], help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="(default: of the recipe)")
    parser.add_argument("--batch-size", type=int, help="images of a weight update, over all devices and steps")
    parser.add_argument("--accumulate", type=int, default=1, help="steps that a batch is divided into")
    parser.add_argument("--learning-rate", type=float, help="the highest (default: of the recipe, scaled by the batch)")
    parser.add_argument("--image-size", type=int, help="side of the images in pixels (default: of the recipe)")
    parser.add_argument("--drop-path", type=float, help="stochastic depth (default: of the recipe)")
    parser.add_argument("--channels", type=int, help="of the heads of instances and scenes (default: the paper's)")
    parser.add_argument("--clip-norm", type=float, help="largest norm of the gradients (default: any)")
    parser.add_argument(
        "--ema", type=float, nargs="?", const=0.9999, metavar="MOMENTUM", help="average the weights (default: not)"
    )
    parser.add_argument("--precision", default="float32", choices=PRECISIONS, help="(default: %(default)s)")
    parser.add_argument("--devices", default="auto", help="how many, or auto for all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--strict", action="store_true", help="end the run at an unreadable image, do not leave it out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument("--preview", metavar="FILE", help="draw a training batch as a PNG, and do not train")
    parser.add_argument("--output", default="output/train", metavar="FOLDER", help="(default: %(default)s)")
    options = parser.add_argument_group("instances")
    options.add_argument("--annotations", metavar="FILE", help="labels in COCO's JSON format")
    options.add_argument("--images", metavar="FOLDER", help="folder of the images that the labels are for")
    options.add_argument("--val-annotations", metavar="FILE", help="for validation (default: those for training)")
    options.add_argument("--val-images", metavar="FOLDER", help="for validation (default: those for training)")
    options = parser.add_argument_group("scenes, with --images and --val-images")
    _add_label_map_arguments(options)
    options.add_argument("--val-labels", metavar="FOLDER", help="for validation (default: those for training)")
    options.add_argument("--classes", metavar="FILE", help="names of the classes, a line each, or 'number: name'")


def _predict(args):
    if args.batch_size is None:
        args.batch_size = PREDICTION_BATCH_SIZES[args.task]
    _check_batch_size(args.batch_size)
    TASKS[args.task].predict(args)


def _train(args):
    TRAINING[args.task].train(args)


def _evaluate(args):
    if args.batch_size is None:
        args.batch_size = EVALUATION_BATCH_SIZES[args.task]
    _check_batch_size(args.batch_size)
    TASKS[args.task].evaluate(args)


def _check_batch_size(batch_size):
    if batch_size < 1:
        raise ValueError(f"--batch-size must be 1 or more, got {batch_size}.")


def _compare(args):
    """Returns 1 if the backends disagree, else 0."""
    report = compare_backends(
        args.model,
        weights=args.weights,
        backends=args.backends.split(","),
        batch_size=args.batch_size,
        size=args.size,
        precision=args.precision,
        steps=args.steps,
        images=args.images,
        output=args.output,
        verbose=sys.stdout.isatty(),
    )
    print(format_report(report))
    print(f"Written: {args.output}/compare.json, compare.md, compare.png")
    return 0 if report["agree"] else 1


def _list(args):
    models = list_models(args.pattern)
    if not models:
        raise ValueError(f"No model matches {args.pattern!r}. There are: {', '.join(VARIANTS)}.")
    row = "{:<23} {:>10}  {:<27} {:>5} {:>7} {:>7}"
    print(row.format("model", "parameters", "weights", "size", "top-1 %", "top-5 %"))
    for model in models:
        entries = [entry for entry in PUBLISHED.values() if entry.variant == model]
        for entry in entries:
            top1, top5 = (f"{value:.2f}" if value else "" for value in (entry.top1, entry.top5))
            parameters = _millions(VARIANTS[model].count_parameters(entry.classes))
            print(row.format(model, parameters, entry.tag, entry.image_size, top1, top5))
        if not entries:
            print(row.format(model, _millions(VARIANTS[model].count_parameters()), "", "", "", "").rstrip())


def _millions(number):
    return f"{number / 1e6:.1f} M"


if __name__ == "__main__":
    sys.exit(main())
