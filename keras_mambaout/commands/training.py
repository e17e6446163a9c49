"""What the trainings of all tasks have in common: their options, and the run from the first line to the last."""

import argparse
import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_mambaout.commands import values
from keras_mambaout.config import MambaOutConfig, resolve_config
from keras_mambaout.files import save_picture
from keras_mambaout.layers.composite import rematerialized
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.training.backup import Backup, described
from keras_mambaout.training.distribution import distribute
from keras_mambaout.training.recipe import TrainingRecipe
from keras_mambaout.training.run import train
from keras_mambaout.training.run_folder import BACKUP_FOLDER
from keras_mambaout.weights.loader import load_weights

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
FILES = ("best.keras", "last.keras", "history.csv")


def add_arguments(parser: argparse.ArgumentParser, weights: str, image_size: str, **recipes: TrainingRecipe) -> None:
    """Adds the options that every training has.

    Args:
        parser: The parser of the sub-command.
        weights: Help on the default of `--weights`.
        image_size: Help on `--image-size`, with its default.
        **recipes: Recipes for `mambaout_tiny` by name, whose numbers the help shows.
    """

    def default(text):
        numbers = {name: text.format(recipe) for name, recipe in recipes.items()}
        if len(numbers) == 1:
            return next(iter(numbers.values()))
        return ", ".join(f"{number} for {name}" for name, number in numbers.items())

    parser.add_argument("--model", default="mambaout_tiny", help="model name (default: %(default)s)")
    parser.add_argument("--token-mixer", **values.TOKEN_MIXER)
    parser.add_argument(
        "--weights",
        help=f"to start from: imagenet, none, a published tag, hf://user/repo or a file (default: {weights}; none with "
        "another mixer: only what it shares with MambaOut can be loaded)",
    )
    parser.add_argument("--epochs", type=values.EPOCHS, metavar="N", help=f"(default: {default('{0.epochs}')})")
    parser.add_argument(
        "--batch-size",
        type=values.IMAGES,
        metavar="N",
        help=f"images of one weight update, over all steps and devices (default: {default('{0.batch_size}')})",
    )
    parser.add_argument(
        "--accumulate",
        type=values.STEPS,
        metavar="N",
        default=1,
        help="steps that a batch is divided into (default: %(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        type=values.LEARNING_RATE,
        metavar="RATE",
        help="the highest, at this batch size (default: scaled with the batch size, "
        f"{default('{0.base_learning_rate:g} at {0.base_batch_size}')})",
    )
    parser.add_argument("--image-size", type=values.SIDE, metavar="PIXELS", help=image_size)
    parser.add_argument(
        "--drop-path",
        type=values.RATE,
        metavar="RATE",
        help=f"stochastic depth (default: that of the model's size, tiny {default('{0.drop_path_rate:g}')})",
    )
    parser.add_argument(
        "--clip-norm", type=values.NORM, metavar="NORM", help="largest norm of the gradients (default: no limit)"
    )
    parser.add_argument(
        "--ema",
        type=values.RATE,
        nargs="?",
        const=0.9999,
        metavar="MOMENTUM",
        help="average the weights, with momentum %(const)s if none is given (default: no average)",
    )
    parser.add_argument(
        "--devices",
        type=values.devices,
        default="auto",
        metavar="N",
        help="how many, or auto for all (default: %(default)s)",
    )
    parser.add_argument("--precision", default="float32", choices=PRECISIONS, help="(default: %(default)s)")
    parser.add_argument(
        "--remat",
        action="store_true",
        help="compute each block anew in the backward pass: less memory, more time, the same numbers",
    )
    parser.add_argument("--seed", type=values.SEED, metavar="N", default=0, help="(default: %(default)s)")
    parser.add_argument(
        "--strict", action="store_true", help="end the run at an unreadable image (default: leave it out and go on)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--backup-every",
        type=values.STEPS,
        metavar="N",
        help="steps from one backup to the next inside an epoch (default: one backup after each epoch)",
    )
    parser.add_argument(
        "--preview", type=values.picture, metavar="FILE", help="draw a training batch as a PNG, and do not train"
    )
    parser.add_argument(
        "--output",
        type=values.output_folder,
        default="output/train",
        metavar="FOLDER",
        help="(default: %(default)s)",
    )


def with_arguments(recipe: TrainingRecipe, args: argparse.Namespace, **numbers: Any) -> TrainingRecipe:
    """Returns a recipe with the numbers that were given as options, and `numbers`, which differ between tasks."""
    given = {
        **numbers,
        "batch_size": args.batch_size,
        "drop_path_rate": args.drop_path,
        "ema_momentum": args.ema,
        "clip_norm": args.clip_norm,
        "base_learning_rate": args.learning_rate,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if args.learning_rate is not None:
        changes["base_batch_size"] = changes.get("batch_size", recipe.batch_size)
    return dataclasses.replace(recipe, **changes)


def network(args: argparse.Namespace) -> MambaOutConfig:
    """Returns the network that `--model` and `--token-mixer` name."""
    return resolve_config(args.model).with_token_mixer(args.token_mixer)


def run(
    args: argparse.Namespace,
    recipe: TrainingRecipe,
    load_data: Callable[[], tuple[Any, Any]],
    make_model: Callable[[int, str | None], keras.Model],
    draw: Callable[[tuple, list[str]], np.ndarray],
    preview_images: int,
    metrics: Mapping[str, str],
    weights: str = "imagenet",
) -> None:
    """Runs a training and prints what it does; with `--preview` draws a batch and does not train.

    Args:
        args: The options of the command.
        recipe: The recipe of the task.
        load_data: Returns the data sets for training and for validation.
        make_model: Returns the model for a number of classes, with weights.
        draw: Draws a batch, given its arrays and the class names.
        preview_images: How many images `--preview` draws.
        metrics: What is printed of each metric in the logs of `fit`: `{name: format of its line}`.
        weights: What the model starts from without `--weights`.
    """
    if args.preview and args.resume:
        raise ValueError("--preview does not train, so there is nothing to --resume: leave one of them out.")
    weights = args.weights or (weights if args.token_mixer == "conv" else "none")
    recipe.step_batch_size(args.accumulate)  # before any data is read: `train` knows the devices too
    if args.preview:
        data, _ = load_data()
        batches = recipe.batches(data, min(preview_images, data.steps_per_epoch(1)), seed=args.seed)
        batch = next(batches.as_numpy_iterator())
        save_picture(draw(batch, data.class_names), args.preview)
        count = len(keras.tree.flatten(batch)[0])
        print(f"{count} training images as the model gets them: {args.preview}. Nothing was trained.")
        return
    with distribute(args.devices) as used:
        data, val_data = load_data()
        keras.utils.set_random_seed(args.seed)
        with rematerialized(args.remat):
            model = _make_model(make_model, data.num_classes, None if weights == "none" else weights, args.token_mixer)
        if used.chief:
            print(_head_line(args.model, recipe, data, val_data, used.replicas))
        try:
            history = train(
                model,
                recipe,
                data,
                val_data,
                args.output,
                accumulate=args.accumulate,
                seed=args.seed,
                resume=args.resume,
                strict=args.strict,
                devices=used,
                weights=_weights(weights),
                backup_every=args.backup_every,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_kept(args.output)) from None
        unreadable = used.collect(lambda: [part.unreadable for part in (val_data, data)])
        if used.chief:
            _report(history, metrics, data, val_data, unreadable, args.output)


def _make_model(make_model, num_classes, weights, token_mixer):
    if weights is None or token_mixer == "conv":
        return make_model(num_classes, weights)
    model = make_model(num_classes, None)
    load_weights(model if isinstance(model, MambaOutClassifier) else model.backbone, weights, fresh_token_mixer=True)
    return model


def _weights(weights):
    """Returns what a run is told of the weights that it starts from: of a file its name and its content."""
    if not os.path.isfile(weights):
        return weights
    with open(weights, "rb") as file:
        return f"{os.path.basename(weights)} ({hashlib.file_digest(file, 'sha256').hexdigest()[:16]})"


def _kept(output):
    """Returns what an interrupted training leaves."""
    place = Backup(os.path.join(output, BACKUP_FOLDER)).place()
    if place == (0, 0):
        return f"no epoch was finished, so {output} has nothing to go on from"
    models = [name for name in FILES if name.endswith(".keras") and os.path.exists(os.path.join(output, name))]
    kept = " and ".join([f"the backup of {described(place)}", *models])
    return f"{output} has {kept}: go on with --resume"


def _head_line(name, recipe, data, val_data, replicas):
    return (
        f"{name}: {len(data)} images for training, {len(val_data)} for validation, {data.num_classes} classes; "
        f"{_count(recipe.epochs, 'epoch')} in batches of {recipe.batch_size} on {_count(replicas, 'device')}, "
        f"learning rate up to {recipe.learning_rate:.2g}"
    )


def _count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"


def _report(history, metrics, data, val_data, unreadable, output):
    """Prints what came out; `unreadable` are the names of images for validation and training, of each process."""
    of_both = [sorted(set().union(*names)) for names in zip(*unreadable, strict=True)]
    parts = zip(("validation", "training"), (val_data, data), of_both, strict=True)
    for name, part, names in {id(part): (name, part, names) for name, part, names in parts}.values():
        if names:
            print(f"{len(names)} of {len(part)} images for {name} are unreadable and were left out:")
            print("\n".join(f"  {image}" for image in names))
    for name, line in metrics.items():
        logged = history[name]
        best = max(range(len(logged)), key=logged.__getitem__)
        print(line.format(best=logged[best], epoch=best + 1, last=logged[-1]))
    print(f"written: {', '.join(os.path.join(output, name) for name in FILES)}")
