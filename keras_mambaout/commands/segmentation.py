"""Semantic segmentation on the command line: the classes of pixels, the mean IoU, and training UperNet."""

import argparse
import itertools
import os
import pathlib

import keras
import numpy as np
from PIL import Image

from keras_mambaout.commands import training, values
from keras_mambaout.commands.class_names import known_names, names_for, read_names
from keras_mambaout.commands.printing import print_json, print_unreadable, unused_name
from keras_mambaout.files import check_output_folder, save_picture, write_whole
from keras_mambaout.inference_settings import SegmentationSettings, settings_of
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.segmentation import UperNet, upernet
from keras_mambaout.segmentation.ade20k import ade20k_classes
from keras_mambaout.segmentation.dataset import SPLITS, SegmentationDataset
from keras_mambaout.segmentation.evaluation import evaluate_segmenter
from keras_mambaout.segmentation.inference import MULTI_SCALE, segment
from keras_mambaout.segmentation.mean_iou import format_segmentation_metrics
from keras_mambaout.segmentation.pictures import class_palette, draw_segmentation
from keras_mambaout.segmentation.recipe import SemanticSegmentationRecipe

NAME = "semantic segmentation"
MODEL = "a UperNet"
TRAINING = "semantic"
PREVIEW_IMAGES = 4
SHOWN = 5  # classes of a photo
METRICS = {"val_mIoU": "mIoU: best {best:.2%} in epoch {epoch}, last {last:.2%}"}
LONGEST_EDGES = 4  # the longest edge is at most this many shortest ones, as the paper's 2048 and 512


def fits(model: keras.Model) -> bool:
    """Returns whether a model is a `UperNet`, perhaps exported."""
    return isinstance(model, UperNet) or getattr(model, "task", None) == "segmentation"


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of this task to `predict`, `evaluate` or `train`."""
    if command == "train":
        _add_training_arguments(parser)
        return
    parser.add_argument(
        "--size",
        type=values.SIDE,
        metavar="PIXELS",
        help="side of the windows in pixels (default: the model's, else 512)",
    )
    parser.add_argument(
        "--batch-size", type=values.IMAGES, metavar="N", default=1, help="windows at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=values.output_folder,
        default="output",
        metavar="FOLDER",
        help="for pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--shortest-edge", type=values.SIDE, metavar="PIXELS", help="of the images (default: --size, or the model's)"
    )
    parser.add_argument(
        "--multi-scale", action="store_true", help="look at six sizes of each image, also mirrored, as the paper does"
    )
    if command == "predict":
        parser.add_argument(
            "--top", type=values.CLASSES, metavar="N", help="classes to print per photo (default: 5, in JSON all)"
        )
        parser.add_argument(
            "--classes", metavar="FILE", help="names of the classes, one per line (default: the model's)"
        )
        return
    _add_data_arguments(parser)
    parser.add_argument("--split", choices=SPLITS, help="of ADE20K (default: validation)")
    parser.add_argument(
        "--pictures",
        type=values.PICTURES,
        metavar="N",
        default=8,
        help="how many images to draw (default: %(default)s)",
    )


def predict(args: argparse.Namespace, model: keras.Model) -> None:
    """Prints the classes in each photo, and writes one picture and one label map per photo."""
    check_output_folder(args.output)
    photos = [load_image(path) for path in args.images]
    names = names_for(args, model, model.num_classes, ade20k_classes()[0])
    palette = _palette(model, names)
    found = segment(model, photos, **_options(args))

    results, taken = [], set()
    for path, photo, classes in zip(args.images, photos, found, strict=True):
        name = unused_name(pathlib.Path(path).stem, taken)
        picture = draw_segmentation([photo], [classes], class_names=names, palette=palette)
        file = save_picture(picture, os.path.join(args.output, f"{name}_segmentation.png"))
        label_map = os.path.join(args.output, f"{name}_classes.png")
        _save_label_map(classes, palette, label_map)
        shares = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
        best = [int(index) for index in np.argsort(-shares, kind="stable") if shares[index]]
        rows = [{"name": names[index], "share": float(shares[index])} for index in best[: args.top]]
        results.append({"image": path, "picture": file, "label_map": label_map, "classes": rows})
    if args.json:
        print_json(results)
        return
    for result in results:
        print(result["image"])
        for row in result["classes"][: args.top or SHOWN]:
            print(f"  {row['share']:7.2%}  {row['name']}")
        print(f"  picture: {result['picture']}, class of each pixel: {result['label_map']}")


def evaluate(args: argparse.Namespace, model: keras.Model) -> None:
    """Prints the metrics of ADE20K, and draws predictions and labels of the first images."""
    if args.pictures:
        check_output_folder(args.output)
    if args.split and not args.data:
        raise ValueError("--split is for --data, ADE20K: leave it out for --images and --labels.")
    names = known_names(args.model, model)
    dataset = _dataset(args, args.split or "validation", args.images, args.labels, names)
    options = _options(args)
    metrics = evaluate_segmenter(model, dataset, **options)
    if args.json:
        print_json(metrics)
    else:
        print(format_segmentation_metrics(metrics))
        print_unreadable(dataset)
    if args.pictures:
        examples = (example for _, example in itertools.islice(dataset.examples(), args.pictures))
        photos, labels = zip(*examples, strict=True)
        picture = draw_segmentation(
            photos, segment(model, photos, **options), labels, dataset.class_names, _palette(model, dataset.class_names)
        )
        file = save_picture(picture, os.path.join(args.output, "segmentation.png"))
        if not args.json:
            print(f"Images, predictions and labels: {file}")


def train(args: argparse.Namespace) -> None:
    """Train UperNet on ADE20K, or on folders of images and label maps."""
    size = args.image_size
    sizes = {"crop_size": size, "shortest_edge": size, "longest_edge": size and LONGEST_EDGES * size}
    recipe = SemanticSegmentationRecipe.paper(args.model)
    recipe = training.with_arguments(recipe, args, epochs=args.epochs, **sizes)

    def make_model(num_classes, weights):
        return upernet(
            training.network(args),
            num_classes,
            weights=weights,
            drop_path_rate=recipe.drop_path_rate,
            dtype=args.precision,
            channels=args.channels,
            name=f"{args.model}_upernet",
        )

    training.run(args, recipe, lambda: _datasets(args), make_model, _draw_batch, PREVIEW_IMAGES, METRICS)


def _add_data_arguments(parser):
    parser.add_argument("--data", metavar="FOLDER", help="ADEChallengeData2016")
    parser.add_argument("--images", metavar="FOLDER", help="instead of --data: images, with --labels and --classes")
    parser.add_argument("--labels", metavar="FOLDER", help="PNGs with the class of each pixel, named as the images")
    parser.add_argument("--classes", metavar="FILE", help="names of the classes, one per line, or 'number: name'")
    parser.add_argument(
        "--ignore-ids",
        type=values.labels,
        metavar="NUMBERS",
        help="numbers in the PNGs of pixels that do not count, with commas between them (default: 255)",
    )


def _add_training_arguments(parser):
    _add_data_arguments(parser)
    parser.add_argument("--val-images", metavar="FOLDER", help="for validation (default: those for training)")
    parser.add_argument("--val-labels", metavar="FOLDER", help="for validation (default: those for training)")
    recipe = SemanticSegmentationRecipe.paper("mambaout_tiny")
    training.add_arguments(
        parser,
        weights="imagenet",
        image_size="side of the crops, and short side of the images, in pixels (default: 512)",
        paper=recipe,
    )
    parser.add_argument(
        "--channels", type=values.CHANNELS, metavar="N", default=512, help="of the head (default: %(default)s)"
    )


def _datasets(args):
    if args.data and (args.val_images or args.val_labels):
        raise ValueError("--val-images and --val-labels are for --images: --data has its own images for validation.")
    data = _dataset(args, "training", args.images, args.labels)
    if args.data:
        return data, _dataset(args, "validation", None, None)
    if not (args.val_images or args.val_labels):
        return data, data
    return data, _dataset(args, None, args.val_images or args.images, args.val_labels or args.labels)


def _dataset(args, split, images, labels, known=None):
    """Returns the data set that was named: a split of ADE20K in `--data`, or folders of images and of label maps.

    Without `--classes`, the names are those that are known.
    """
    if args.data and not any((images, labels, args.classes, args.ignore_ids)):
        return SegmentationDataset.from_ade20k(args.data, split)
    if not args.data and images and labels and (args.classes or known):
        names, numbers = read_names(args.classes) if args.classes else (known, None)
        ignore_ids = [255] if args.ignore_ids is None else args.ignore_ids
        return SegmentationDataset.from_folder(images, labels, names, numbers, ignore_ids=ignore_ids)
    raise ValueError(
        "Give --data FOLDER (ADEChallengeData2016) alone, or --images FOLDER, --labels FOLDER and --classes FILE."
    )


def _draw_batch(batch, class_names):
    images, labels = batch
    return draw_segmentation(images, labels=labels, class_names=class_names)


def _options(args):
    """Returns how `segment` and `evaluate_segmenter` look at images, as far as the options say."""
    sizes = {"crop_size": args.size, "shortest_edge": args.size if args.shortest_edge is None else args.shortest_edge}
    views = {"scales": MULTI_SCALE, "flip": True} if args.multi_scale else {}
    return {**sizes, **views, "batch_size": args.batch_size}


def _palette(model, names):
    """Returns the colours that a model carries, else those of its classes."""
    carried = settings_of(model, SegmentationSettings).palette
    return class_palette(names) if carried is None else np.array(carried, "uint8")


def _save_label_map(classes, palette, path):
    """Writes classes as an index PNG, which shows them in their colours."""
    image = Image.fromarray(classes.astype("uint8"))
    image.putpalette(palette.ravel().tolist())
    try:
        write_whole(path, lambda part: image.save(part, format="PNG"))
    except OSError as error:
        raise ValueError(f"Cannot write the label map {path!r}: {error}") from error
