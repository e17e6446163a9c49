"""`keras-mambaout compare`: one model on several backends."""

import argparse
import sys

from keras_mambaout.commands import values
from keras_mambaout.compare import BACKENDS, TOLERANCES, compare_backends, format_report

HELP = "compare backends: speed, memory, and whether they agree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--model",
        default="mambaout_tiny",
        help="model name, or a .keras file or hf://user/repo of any task (default: %(default)s)",
    )
    parser.add_argument("--weights", help="imagenet, a published tag, hf://user/repo or a file (default: drawn)")
    parser.add_argument("--token-mixer", **values.TOKEN_MIXER)
    parser.add_argument(
        "--backends",
        nargs="+",
        metavar="BACKEND",
        default=BACKENDS,
        help=f"separated by spaces or commas (default: {' '.join(BACKENDS)})",
    )
    parser.add_argument(
        "--batch-size", type=values.IMAGES, metavar="N", default=8, help="images in the batch (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=values.SIDE,
        metavar="PIXELS",
        help="side of the images in pixels (default: what the model was trained for, or else 224)",
    )
    parser.add_argument("--precision", default="float32", choices=list(TOLERANCES), help="(default: %(default)s)")
    parser.add_argument(
        "--steps",
        type=values.STEPS,
        metavar="N",
        default=20,
        help="timed calls and steps of fit (default: %(default)s)",
    )
    parser.add_argument("--images", metavar="FOLDER", help="folder of images (default: noise)")
    parser.add_argument(
        "--output", type=values.output_folder, default="compare", metavar="FOLDER", help="(default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the comparison; returns 1 if the backends disagree, else 0."""
    report = compare_backends(
        args.model,
        weights=args.weights,
        backends=[name for names in args.backends for name in names.split(",") if name],
        batch_size=args.batch_size,
        size=args.size,
        precision=args.precision,
        steps=args.steps,
        images=args.images,
        output=args.output,
        verbose=sys.stdout.isatty(),
        token_mixer=args.token_mixer,
    )
    print(format_report(report))
    print(f"written: {args.output}/compare.json, compare.md, compare.png")
    return 0 if report["agree"] else 1
