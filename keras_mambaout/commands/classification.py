"""Classification on the command line: the classes of photos, the accuracy on a data set, and training."""

import argparse
import dataclasses

import keras

from keras_mambaout.classification.evaluation import evaluate_classifier
from keras_mambaout.classification.inference import classify
from keras_mambaout.classification.pictures import draw_batch
from keras_mambaout.classification.recipe import ClassificationRecipe
from keras_mambaout.commands import training
from keras_mambaout.commands.class_names import names_beside, names_for
from keras_mambaout.commands.classification_data import for_evaluation, training_and_validation
from keras_mambaout.commands.printing import print_json, print_unreadable
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.registry import create_model
from keras_mambaout.preprocessing.imagenet import imagenet_classes
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.weights.loader import load_weights
from keras_mambaout.weights.pretrained import PublishedWeights, resolve_weights

NAME = "classification"
MODEL = "an image classifier"
TRAINING = "classification"
IMAGENET_CLASSES = 1000
PREVIEW_IMAGES = 32
METRICS = {"val_accuracy": "validation accuracy: best {best:.2%} in epoch {epoch}, last {last:.2%}"}


def fits(model: keras.Model) -> bool:
    """Returns whether a model turns images into scores, as far as its inputs and outputs are known."""
    if isinstance(model, MambaOutBackbone):
        return False
    ends = getattr(model, "inputs", None), getattr(model, "outputs", None)
    return None in ends or [[len(tensor.shape) for tensor in end] for end in ends] == [[4], [2]]


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of this task to `predict`, `evaluate` or `train`."""
    if command == "train":
        _add_training_arguments(parser)
        return
    parser.add_argument("--weights", help="of a model by name: imagenet, a published tag or a file (default: imagenet)")
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the images in pixels (default: of the weights, else 224)"
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", default=32, help="images at a time (default: %(default)s)"
    )
    if command == "predict":
        parser.add_argument(
            "--top", type=int, metavar="N", default=5, help="classes to print per photo (default: %(default)s)"
        )
        parser.add_argument("--classes", metavar="FILE", help="names of the classes, one per line")
        return
    parser.add_argument(
        "--crop-pct", type=float, metavar="SHARE", help="share of the image that is kept (default: of the weights)"
    )
    parser.add_argument("--data", help="folder of class folders, or a name of TensorFlow Datasets")
    parser.add_argument("--data-dir", metavar="FOLDER", help="of the prepared data of TensorFlow Datasets")
    parser.add_argument("--split", default="validation", help="of TensorFlow Datasets (default: %(default)s)")


def predict(args: argparse.Namespace, model: keras.Model | None) -> None:
    """Prints the most probable classes of each photo."""
    if model is None and args.classes:
        raise ValueError(f"--classes is for .keras files; {args.model} has the classes of ImageNet.")
    photos = [load_image(path) for path in args.images]
    model, published = _open(args, model, IMAGENET_CLASSES, "the 1000 ImageNet classes, so it cannot name photos")
    size, crop_pct = _size_and_crop(args.size, published)
    labels = _labels(args, model.compute_output_shape((1, size, size, 3))[-1])
    results = classify(model, photos, size, crop_pct, published.crop_mode, args.top, args.batch_size)
    found = [_rows(result, labels) for result in results]
    if args.json:
        print_json([{"image": path, "predictions": rows} for path, rows in zip(args.images, found, strict=True)])
        return
    for path, rows in zip(args.images, found, strict=True):
        print(path)
        for row in rows:
            label = f"{row['name'].replace('_', ' ')} ({row['synset']})" if "synset" in row else row["name"]
            print(f"  {row['score']:7.2%}  {label}")


def evaluate(args: argparse.Namespace, model: keras.Model | None) -> None:
    """Prints top-1 and top-5 accuracy on a folder of class folders or a data set of TensorFlow Datasets."""
    if args.data is None:
        raise ValueError("Give --data: a folder of class folders, or a name of TensorFlow Datasets.")
    dataset = for_evaluation(args.data, args.split, args.data_dir, args.model)
    model, published = _open(args, model, dataset.num_classes, f"{dataset.num_classes} classes, as the images have")
    size, crop_pct = _size_and_crop(args.size, published)
    metrics = evaluate_classifier(
        model,
        dataset,
        args.batch_size,
        size,
        crop_pct if args.crop_pct is None else args.crop_pct,
        published.crop_mode,
    )
    if args.json:
        print_json(metrics)
        return
    accuracies = ", ".join(f"{name} {metrics[name]:.2%}" for name in ("top1", "top5") if name in metrics)
    print(f"{accuracies} of {metrics['images']} images")
    print_unreadable(dataset)


def train(args: argparse.Namespace) -> None:
    """Train a classifier on class folders or a data set of TensorFlow Datasets."""
    recipe = _recipe(args)
    weights = args.weights or ("imagenet" if args.recipe == "finetune" else "none")

    def make_model(num_classes):
        return create_model(
            args.model,
            weights=None if weights == "none" else weights,
            classes=num_classes,
            drop_path_rate=recipe.drop_path_rate,
            dtype=args.precision,
        )

    training.run(
        args,
        recipe,
        lambda: training_and_validation(args.data, args.data_dir),
        make_model,
        lambda batch, class_names: draw_batch(*batch, class_names),
        PREVIEW_IMAGES,
        METRICS,
        args.devices,
    )


def _add_training_arguments(parser):
    parser.add_argument(
        "--data",
        required=True,
        help="folder of class folders, also with train and val, or a name of TensorFlow Datasets",
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="of the prepared data of TensorFlow Datasets")
    parser.add_argument("--recipe", default="finetune", choices=["paper", "finetune"], help="(default: %(default)s)")
    training.add_arguments(
        parser,
        weights="imagenet for finetune, none for paper",
        image_size="side of the images in pixels (default: 224)",
        finetune=ClassificationRecipe.finetune("mambaout_tiny"),
        paper=ClassificationRecipe.paper("mambaout_tiny"),
    )
    parser.add_argument("--devices", default="auto", help="how many, or auto for all (default: %(default)s)")


def _recipe(args):
    """Returns the recipe that was named, with the numbers that were given as options."""
    recipe = {"paper": ClassificationRecipe.paper, "finetune": ClassificationRecipe.finetune}[args.recipe](args.model)
    recipe = training.with_arguments(recipe, args, image_size=args.image_size)
    if args.epochs is None:
        return recipe
    warmup = recipe.warmup_epochs * args.epochs / recipe.epochs  # keeps its share
    return dataclasses.replace(recipe, epochs=args.epochs, warmup_epochs=warmup)


def _open(args, model, classes, what):
    """Returns the model, by name one of `classes` classes, and what is known of the images it was trained on."""
    if model is not None:
        if args.weights is not None:
            raise ValueError(f"--weights is for models by name; {args.model} brings its own.")
        return model, PublishedWeights(variant=args.model, tag="file")
    weights = args.weights or "imagenet"
    published = resolve_weights(weights, args.model)
    model = create_model(args.model, weights=None, classes=classes)
    if load_weights(model, weights):
        raise ValueError(f"{weights!r} has no classifier of {what}.")
    return model, published if isinstance(published, PublishedWeights) else PublishedWeights(
        variant=args.model, tag="file"
    )


def _size_and_crop(size, published):
    """Returns the side of the images and the share of them that is kept, which is known for one size only."""
    if size is None or size == published.image_size:
        return published.image_size, published.crop_pct
    return size, 1.0


def _labels(args, num_classes):
    """Returns how each class is called: ImageNet's WordNet id and name, or the name that a file gives it."""
    beside = names_beside(args.model)
    if args.classes is None and num_classes == IMAGENET_CLASSES and not beside:
        return [{"synset": synset, "name": name} for synset, name in imagenet_classes()]
    known = beside or []
    return [{"name": name} for name in names_for(args.classes, num_classes, known)]


def _rows(result, labels):
    """Returns the classes of a photo as they are printed."""
    pairs = zip(result["classes"], result["confidence"].tolist(), strict=True)
    return [{**labels[index], "score": score} for index, score in pairs]
