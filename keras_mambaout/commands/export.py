"""`keras-mambaout export`: a model for another runtime, proved there."""

import argparse
import os

from keras_mambaout.commands import values
from keras_mambaout.commands.printing import print_json
from keras_mambaout.config import VARIANTS
from keras_mambaout.exporting import FORMATS, export
from keras_mambaout.exporting.formats import DYNAMIC
from keras_mambaout.models.registry import create_model
from keras_mambaout.models.saved import load_model
from keras_mambaout.preprocessing.reading import find_images, load_image

HELP = "write a model for ONNX Runtime, OpenVINO, LiteRT, TensorFlow or PyTorch, and compare it with Keras there"
MAX_PHOTOS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.add_argument(
        "--model",
        default="mambaout_tiny",
        help="model of `keras-mambaout list`, .keras file, or hf://user/repo (default: %(default)s)",
    )
    parser.add_argument(
        "--weights", help="of a model by name: imagenet, a published tag, hf://user/repo or a file (default: imagenet)"
    )
    parser.add_argument("--format", required=True, choices=list(FORMATS))
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        type=values.SIDE,
        metavar="PIXELS",
        help="side of the images in pixels (default: the model's; of a UperNet, any)",
    )
    size.add_argument("--dynamic", action="store_true", help="images of any height and width")
    parser.add_argument(
        "--batch-size",
        type=values.batch_size,
        default=1,
        metavar="N",
        help="images at a time, or dynamic for any number (default: %(default)s)",
    )
    parser.add_argument(
        "--no-preprocessing", action="store_true", help="the file takes normalised images (default: 0-255)"
    )
    parser.add_argument(
        "--photos", metavar="FOLDER", help="folder of photos to compare with (default: two drawn pictures)"
    )
    parser.add_argument(
        "--output", type=values.output_folder, required=True, metavar="FOLDER", help="new, or of an earlier export"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest")


def run(args: argparse.Namespace) -> None:
    """Prints where the file is, how much it differs from Keras, and the seconds of both."""
    photos = None if args.photos is None else [load_image(path) for path in find_images(args.photos)[:MAX_PHOTOS]]
    if args.model in VARIANTS:
        model = create_model(args.model, weights=None if args.weights == "none" else args.weights or "imagenet")
    elif args.weights is not None:
        raise ValueError(f"--weights is for models by name; {args.model} brings its own.")
    else:
        model = load_model(args.model)
    manifest = export(
        model,
        args.format,
        args.output,
        size=DYNAMIC if args.dynamic else args.size,
        batch_size=args.batch_size,
        include_preprocessing=not args.no_preprocessing,
        photos=photos,
    )
    if args.json:
        print_json(manifest)
        return
    print(os.path.join(args.output, manifest["file"]))
    for name, value in manifest["difference"].items():
        print(f"  {name}: at most {value:.1e} of the largest value away from Keras")
    keras_seconds, file_seconds = manifest["seconds"]["keras"], manifest["seconds"]["file"]
    shape = " x ".join(map(str, manifest["compared"][0]))
    print(f"  {shape}: {1000 * file_seconds:.1f} ms, Keras on {manifest['backend']} {1000 * keras_seconds:.1f} ms")
