"""`keras-mambaout train --task scenes`: UperNet on ADE20K, or on folders of images and label maps."""

import os

import keras

from keras_mambaout.commands.scenes import LONGEST_EDGES, scene_dataset
from keras_mambaout.commands.training import changed
from keras_mambaout.files import save_picture
from keras_mambaout.segmentation import upernet
from keras_mambaout.segmentation.evaluation import SegmentationMeanIoU
from keras_mambaout.segmentation.pictures import draw_segmentation
from keras_mambaout.segmentation.recipe import SemanticSegmentationRecipe
from keras_mambaout.training.run import train as run

PREVIEW_IMAGES = 4


def train(args):
    """Trains as the arguments say; with `--preview` draws a batch instead."""
    recipe = _recipe(args)
    data, val_data = _datasets(args)
    if args.preview:
        _preview(args.preview, data, recipe, args.seed)
        return
    if args.devices not in ("auto", "1"):
        raise ValueError(f"--task scenes trains on one device, got --devices {args.devices}.")
    keras.utils.set_random_seed(args.seed)
    model = upernet(
        args.model,
        data.num_classes,
        weights=None if args.weights == "none" else args.weights or "imagenet",
        drop_path_rate=recipe.drop_path_rate,
        dtype=args.precision,
        **({} if args.channels is None else {"channels": args.channels}),
        name=f"{args.model}_upernet",
    )
    print(
        f"{args.model}: {len(data)} images for training, {len(val_data)} for validation, {data.num_classes} classes; "
        f"{recipe.epochs} epochs in batches of {recipe.batch_size}, learning rate up to {recipe.learning_rate:.2g}"
    )
    metrics = SegmentationMeanIoU(val_data, **recipe.sizes, stride=max(1, 2 * recipe.crop_size // 3))
    history = run(
        model,
        recipe,
        data,
        output=args.output,
        accumulate=args.accumulate,
        seed=args.seed,
        resume=args.resume,
        callbacks=[metrics],
    )
    _report(history, args.output)


def _recipe(args):
    """Returns the paper's recipe with the arguments that were given instead of its own numbers."""
    size = args.image_size
    sizes = {"crop_size": size, "shortest_edge": size, "longest_edge": size and LONGEST_EDGES * size}
    return changed(SemanticSegmentationRecipe.paper(args.model), args, epochs=args.epochs, **sizes)


def _datasets(args):
    data = scene_dataset(args, "training", args.images, args.labels)
    if args.data:
        return data, scene_dataset(args, "validation", None, None)
    if not (args.val_images or args.val_labels):
        return data, data
    return data, scene_dataset(args, None, args.val_images or args.images, args.val_labels or args.labels)


def _preview(path, data, recipe, seed):
    batches = recipe.batches(data, min(PREVIEW_IMAGES, len(data)), seed)
    images, labels = next(batches.as_numpy_iterator())
    save_picture(draw_segmentation(images, labels=labels, class_names=data.class_names), path)
    print(f"{len(images)} training images as the model gets them: {path}. Nothing was trained.")


def _report(history, output):
    values = history["val_mIoU"]
    best = max(range(len(values)), key=values.__getitem__)
    print(f"mIoU: best {values[best]:.2%} in epoch {best + 1}, last {values[-1]:.2%}")
    print(f"written: {', '.join(os.path.join(output, name) for name in ('best.keras', 'last.keras', 'history.csv'))}")
