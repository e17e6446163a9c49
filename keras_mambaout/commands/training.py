"""`keras-mambaout train`: a classifier, by a recipe, on a folder of images or a TensorFlow data set."""

import dataclasses
import os

import keras

from keras_mambaout.classification.pictures import draw_batch
from keras_mambaout.classification.recipe import ClassificationRecipe
from keras_mambaout.commands.data import training_and_validation
from keras_mambaout.files import save_picture
from keras_mambaout.models.registry import create_model
from keras_mambaout.training.distribution import distribute
from keras_mambaout.training.run import train as run

PREVIEW_IMAGES = 32


def train(args):
    """Trains as the arguments say; with `--preview` draws a batch instead."""
    if args.data is None:
        raise ValueError("--task classification needs --data: a folder of class folders, or a name of a data set.")
    recipe = _recipe(args)
    if args.preview:
        data, _ = training_and_validation(args.data, args.data_dir)
        _preview(args.preview, data, recipe, args.seed)
        return
    with distribute(args.devices) as devices:
        data, val_data = training_and_validation(args.data, args.data_dir)
        keras.utils.set_random_seed(args.seed)
        weights = args.weights or ("imagenet" if args.recipe == "finetune" else "none")
        model = create_model(
            args.model,
            weights=None if weights == "none" else weights,
            classes=data.num_classes,
            drop_path_rate=recipe.drop_path_rate,
            dtype=args.precision,
        )
        if devices.chief:
            print(
                f"{args.model}: {len(data)} images for training, {len(val_data)} for validation, {data.num_classes} "
                f"classes; {recipe.epochs} epochs in batches of {recipe.batch_size} on {devices.replicas} device(s), "
                f"learning rate up to {recipe.learning_rate:.2g}"
            )
        history = run(
            model, recipe, data, val_data, args.output, args.accumulate, args.seed, args.resume, args.strict, devices
        )
        if devices.chief:
            _report(history, data, val_data, args.output)


def _recipe(args):
    """Returns the recipe that is named, with the arguments that were given instead of its own numbers."""
    recipe = {"paper": ClassificationRecipe.paper, "finetune": ClassificationRecipe.finetune}[args.recipe](args.model)
    recipe = changed(recipe, args, image_size=args.image_size)
    if args.epochs is None:
        return recipe
    warmup = recipe.warmup_epochs * args.epochs / recipe.epochs  # keeps its share
    return dataclasses.replace(recipe, epochs=args.epochs, warmup_epochs=warmup)


def changed(recipe, args, **numbers):
    """Returns a recipe of any task with the numbers that were given as arguments, and these, which differ by task."""
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


def _preview(path, data, recipe, seed):
    count = min(PREVIEW_IMAGES, len(data))
    batches = recipe.batches(data, count, seed)
    images, labels = next(batches.as_numpy_iterator())
    save_picture(draw_batch(images, labels, data.class_names), path)
    print(f"{count} training images as the model gets them: {path}. Nothing was trained.")


def _report(history, data, val_data, output):
    for name, part in (("training", data), ("validation", val_data)):
        if part.unreadable:
            print(f"{len(part.unreadable)} of {len(part)} images for {name} are unreadable and were left out:")
            print("\n".join(f"  {path}" for path in part.unreadable))
    accuracies = history["val_accuracy"]
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    print(f"validation accuracy: best {accuracies[best]:.2%} in epoch {best + 1}, last {accuracies[-1]:.2%}")
    print(f"written: {', '.join(os.path.join(output, name) for name in ('best.keras', 'last.keras', 'history.csv'))}")
