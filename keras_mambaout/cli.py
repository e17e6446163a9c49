"""The command line: `keras-mambaout predict`, `compare` and `list`."""

import argparse
import json
import sys

import numpy as np

from keras_mambaout.compare.comparison import BACKENDS, compare
from keras_mambaout.compare.differences import TOLERANCES
from keras_mambaout.compare.report import format_report
from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import create_model, list_models
from keras_mambaout.preprocessing.imagenet import decode_predictions, resize_and_center_crop
from keras_mambaout.preprocessing.load_image import load_image
from keras_mambaout.weights.download import DownloadError
from keras_mambaout.weights.loader import load_weights
from keras_mambaout.weights.pretrained import PUBLISHED, PublishedWeights, resolve_weights


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

    predict = commands.add_parser("predict", help="name what is in photos, with the ImageNet classes")
    predict.set_defaults(run=_predict)
    predict.add_argument("images", nargs="+", metavar="PHOTO", help="image file")
    predict.add_argument("--model", default="mambaout_tiny", help="one of `keras-mambaout list` (default: %(default)s)")
    predict.add_argument("--weights", default="imagenet", help="imagenet, a published tag, or a .safetensors path")
    predict.add_argument("--size", type=int, help="side of the images in pixels (default: that of the weights)")
    predict.add_argument("--top", type=int, default=5, help="classes to print for a photo (default: %(default)s)")
    predict.add_argument("--batch-size", type=int, default=32, help="photos at a time (default: %(default)s)")
    predict.add_argument("--json", action="store_true", help="print JSON instead of text")

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
    comparison.add_argument("--perturb", help=argparse.SUPPRESS)  # BACKEND:LAYER is made wrong, for tests

    listing = commands.add_parser("list", help="list models and their published weights")
    listing.set_defaults(run=_list)
    listing.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names, such as '*rw*'")
    return parser


def _predict(args):
    if args.batch_size < 1:
        raise ValueError(f"--batch-size must be 1 or more, got {args.batch_size}.")
    published = resolve_weights(args.weights, args.model)
    if not isinstance(published, PublishedWeights):  # a file of the user's own
        published = PublishedWeights(variant=args.model, tag="own")
    photos = [load_image(path) for path in args.images]
    size = args.size or published.image_size
    inputs = np.stack([resize_and_center_crop(p, size, published.crop_pct, published.crop_mode) for p in photos])

    model = create_model(args.model, weights=None)
    if load_weights(model, args.weights):
        raise ValueError(f"{args.weights!r} has no classifier of the 1000 ImageNet classes, so it cannot name photos.")
    decoded = decode_predictions(model.predict(inputs, batch_size=args.batch_size, verbose=0), top=args.top)

    if args.json:
        results = [
            {"image": path, "predictions": [{"synset": s, "name": n, "score": score} for s, n, score in predictions]}
            for path, predictions in zip(args.images, decoded, strict=True)
        ]
        print(json.dumps(results, indent=2))
        return
    for path, predictions in zip(args.images, decoded, strict=True):
        print(path)
        for synset, name, score in predictions:
            print(f"  {score:7.2%}  {name.replace('_', ' ')} ({synset})")


def _compare(args):
    """Returns 1 if the backends disagree, else 0."""
    perturb = dict([args.perturb.split(":")]) if args.perturb else None
    report = compare(
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
        perturb=perturb,
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
