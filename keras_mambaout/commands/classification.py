"""Classification on the command line: the classes of photos, the accuracy on a data set, and training."""

import argparse
import dataclasses

import keras

from keras_mambaout.classification.evaluation import evaluate_classifier
from keras_mambaout.classification.inference import classify
from keras_mambaout.classification.pictures import draw_batch, draw_confusion_matrix
from keras_mambaout.classification.recipe import ClassificationRecipe
from keras_mambaout.commands import training, values
from keras_mambaout.commands.class_names import known_names, names_for
from keras_mambaout.commands.classification_data import for_evaluation, training_and_validation
from keras_mambaout.commands.printing import print_json, print_unreadable
from keras_mambaout.exporting import ExportedModel
from keras_mambaout.files import save_picture
from keras_mambaout.inference_settings import ClassificationSettings, settings_of
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.registry import create_model
from keras_mambaout.preprocessing.imagenet import imagenet_classes, imagenet_names
from keras_mambaout.preprocessing.reading import load_image
from keras_mambaout.weights.loader import load_weights
from keras_mambaout.weights.pretrained import resolve_weights

NAME = "classification"
MODEL = "an image classifier"
TRAINING = "classification"
IMAGENET_CLASSES = 1000
PREVIEW_IMAGES = 32
SHOWN = 5  # classes of a photo
SHOWN_CLASSES = 50  # in the table of accuracies
METRICS = {"val_accuracy": "validation accuracy: best {best:.2%} in epoch {epoch}, last {last:.2%}"}


def fits(model: keras.Model) -> bool:
    """Returns whether a model turns images into scores, as far as its inputs and outputs are known."""
    if isinstance(model, MambaOutBackbone):
        return False
    if isinstance(model, ExportedModel):
        return model.task == "classification"
    ends = getattr(model, "inputs", None), getattr(model, "outputs", None)
    return None in ends or [[len(tensor.shape) for tensor in end] for end in ends] == [[4], [2]]


def add_arguments(command: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of this task to `predict`, `evaluate` or `train`."""
    if command == "train":
        _add_training_arguments(parser)
        return
    parser.add_argument(
        "--weights", help="of a model by name: imagenet, a published tag, hf://user/repo or a file (default: imagenet)"
    )
    parser.add_argument(
        "--size",
        type=values.SIDE,
        metavar="PIXELS",
        help="side of the images in pixels (default: the model's, else 224)",
    )
    parser.add_argument(
        "--batch-size", type=values.IMAGES, metavar="N", default=32, help="images at a time (default: %(default)s)"
    )
    if command == "predict":
        parser.add_argument("--top", type=values.CLASSES, metavar="N", help="classes to print per photo (default: 5)")
        parser.add_argument(
            "--classes", metavar="FILE", help="names of the classes, a line each (default: the model's)"
        )
        return
    parser.add_argument(
        "--crop-pct",
        type=values.CROP,
        metavar="SHARE",
        help="share of the image that is kept (default: the model's at its own size, else 1)",
    )
    parser.add_argument("--data", help="folder of class folders, or a name of TensorFlow Datasets")
    parser.add_argument("--data-dir", metavar="FOLDER", help="of the prepared data of TensorFlow Datasets")
    parser.add_argument("--split", help="of TensorFlow Datasets (default: validation)")
    parser.add_argument(
        "--confusion-matrix",
        type=values.picture,
        metavar="FILE",
        help="PNG: a picture of what each class is taken for",
    )


def predict(args: argparse.Namespace, model: keras.Model | None) -> None:
    """Prints the most probable classes of each photo."""
    if model is None and args.classes:
        raise ValueError(f"--classes is for .keras files; {args.model} has the classes of ImageNet.")
    photos = [load_image(path) for path in args.images]
    model = _open(args, model, IMAGENET_CLASSES, "the 1000 ImageNet classes, so it cannot name photos")
    labels = _labels(args, model)
    found = [
        _rows(one, labels)
        for one in classify(model, photos, args.size, top=args.top or SHOWN, batch_size=args.batch_size)
    ]
    if args.json:
        print_json([{"image": path, "predictions": rows} for path, rows in zip(args.images, found, strict=True)])
        return
    for path, rows in zip(args.images, found, strict=True):
        print(path)
        for row in rows:
            label = f"{row['name'].replace('_', ' ')} ({row['synset']})" if "synset" in row else row["name"]
            print(f"  {row['score']:7.2%}  {label}")


def evaluate(args: argparse.Namespace, model: keras.Model | None) -> None:
    """Prints top-1 and top-5 accuracy, and that of each class, on class folders or a set of TensorFlow Datasets."""
    if args.data is None:
        raise ValueError("Give --data: a folder of class folders, or a name of TensorFlow Datasets.")
    names = None if model is None else known_names(args.model, model)
    dataset = for_evaluation(args.data, args.split, args.data_dir, names)
    model = _open(args, model, dataset.num_classes, f"{dataset.num_classes} classes, as the images have")
    metrics = evaluate_classifier(model, dataset, args.batch_size, args.size, args.crop_pct)
    if args.json:
        print_json(metrics)
    else:
        accuracies = ", ".join(f"{name} {metrics[name]:.2%}" for name in ("top1", "top5") if name in metrics)
        print(f"{accuracies} of {metrics['images']} images")
        print(_class_table(metrics["classes"]))
        print_unreadable(dataset)
    if args.confusion_matrix:
        save_picture(draw_confusion_matrix(metrics["classes"]), args.confusion_matrix)
        if not args.json:
            print(f"What images of each class were taken for: {args.confusion_matrix}")


def train(args: argparse.Namespace) -> None:
    """Train a classifier on class folders or a data set of TensorFlow Datasets."""
    recipe = _recipe(args)

    def make_model(num_classes, weights):
        return create_model(
            args.model,
            weights=weights,
            token_mixer=args.token_mixer,
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
        "imagenet" if args.recipe == "finetune" else "none",
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


def _recipe(args):
    """Returns the recipe that was named, with the numbers that were given as options."""
    recipe = {"paper": ClassificationRecipe.paper, "finetune": ClassificationRecipe.finetune}[args.recipe](args.model)
    recipe = training.with_arguments(recipe, args, image_size=args.image_size)
    if args.epochs is None:
        return recipe
    warmup = recipe.warmup_epochs * args.epochs / recipe.epochs  # keeps its share
    return dataclasses.replace(recipe, epochs=args.epochs, warmup_epochs=warmup)


def _open(args, model, classes, what):
    """Returns the model, by name one of `classes` classes."""
    if model is not None:
        if args.weights is not None:
            raise ValueError(f"--weights is for models by name; {args.model} brings its own.")
        return model
    weights = args.weights or "imagenet"
    resolve_weights(weights, args.model)  # before the model is built: a wrong name is an error at once
    model = create_model(args.model, weights=None, classes=classes)
    if load_weights(model, weights):
        raise ValueError(f"{weights!r} has no classifier of {what}.")
    return model


def _labels(args, model):
    """Returns how each class is called: ImageNet's WordNet id and name, or the name that a model or a file gives it."""
    names = names_for(args, model, _class_count(args, model), imagenet_names())
    if names == imagenet_names():
        return [{"synset": synset, "name": name} for synset, name in imagenet_classes()]
    return [{"name": name} for name in names]


def _class_count(args, model):
    if isinstance(model, ExportedModel):
        return model.num_classes
    size = settings_of(model, ClassificationSettings).options(args.size)["image_size"]
    return model.compute_output_shape((1, size, size, 3))[-1]


def _class_table(rows):
    """Returns the accuracy of each class as text, of many classes those with the lowest."""
    rows, hidden = [row for row in rows if row["images"]], 0
    if len(rows) > SHOWN_CLASSES:
        hidden = len(rows) - SHOWN_CLASSES
        rows = sorted(rows, key=lambda row: row["accuracy"])[:SHOWN_CLASSES]
    width = max(5, *(len(row["name"]) for row in rows))
    lines = [f"{'class':<{width}} accuracy  images  mostly taken for"]
    for row in rows:
        wrong = {name: count for name, count in row["predictions"].items() if name != row["name"]}
        other = max(wrong, key=wrong.get, default="")
        taken = f"{other} ({wrong[other]})" if other else ""
        lines.append(f"{row['name']:<{width}} {row['accuracy']:8.2%} {row['images']:7}  {taken}".rstrip())
    lines += [f"({hidden} classes with higher accuracy are in --json)"] * (hidden > 0)
    return "\n".join(lines)


def _rows(result, labels):
    """Returns the classes of a photo as they are printed."""
    pairs = zip(result["classes"], result["confidence"].tolist(), strict=True)
    return [{**labels[index], "score": score} for index, score in pairs]
