"""`keras-mambaout train --task instances`: Mask R-CNN on labels in COCO's format."""

import dataclasses
import os

import keras
import numpy as np

from keras_mambaout.commands.training import changed
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.evaluation import CocoMeanAveragePrecision
from keras_mambaout.detection.predicted_masks import paste_masks
from keras_mambaout.detection.recipe import InstanceSegmentationRecipe
from keras_mambaout.files import save_picture
from keras_mambaout.training.run import train as run
from keras_mambaout.visualization.detections import draw_detections

PREVIEW_IMAGES = 4
METRICS = {"val_bbox_AP": "boxes", "val_segm_AP": "masks"}


def train(args):
    """Trains as the arguments say; with `--preview` draws a batch instead."""
    recipe = _recipe(args)
    data, val_data = _datasets(args)
    if args.preview:
        _preview(args.preview, data, recipe, args.seed)
        return
    if args.devices not in ("auto", "1"):
        raise ValueError(f"--task instances trains on one device, got --devices {args.devices}.")
    keras.utils.set_random_seed(args.seed)
    model = mask_rcnn(
        args.model,
        data.num_classes,
        weights=None if args.weights == "none" else args.weights or "imagenet",
        drop_path_rate=recipe.drop_path_rate,
        dtype=args.precision,
        **({} if args.channels is None else {"channels": args.channels}),
        seed=args.seed,
        name=f"{args.model}_mask_rcnn",
    )
    print(
        f"{args.model}: {len(data)} images for training, {len(val_data)} for validation, {data.num_classes} classes; "
        f"{recipe.epochs} epochs in batches of {recipe.batch_size}, learning rate up to {recipe.learning_rate:.2g}"
    )
    precision = CocoMeanAveragePrecision(
        val_data, recipe.batch_size // args.accumulate, **recipe.resizing, iou_type=("bbox", "segm")
    )
    history = run(
        model,
        recipe,
        data,
        output=args.output,
        accumulate=args.accumulate,
        seed=args.seed,
        resume=args.resume,
        callbacks=[precision],
    )
    _report(history, args.output)


def _recipe(args):
    """Returns the paper's recipe with the arguments that were given instead of its own numbers."""
    recipe = changed(InstanceSegmentationRecipe.paper(args.model), args, image_size=args.image_size)
    if args.epochs is None:
        return recipe
    milestones = tuple(max(1, round(epoch * args.epochs / recipe.epochs)) for epoch in recipe.milestones)
    return dataclasses.replace(recipe, epochs=args.epochs, milestones=milestones)


def _datasets(args):
    if not (args.annotations and args.images):
        raise ValueError("--task instances needs --annotations FILE and --images FOLDER (COCO's JSON and its images).")
    data = CocoDataset.from_json(args.annotations, args.images)
    if not args.val_annotations:
        return data, data
    val_data = CocoDataset.from_json(args.val_annotations, args.val_images or args.images)
    if val_data.class_names != data.class_names:
        raise ValueError(
            f"{args.val_annotations!r} has other classes ({', '.join(val_data.class_names[:5])}, ...) than "
            f"{args.annotations!r} ({', '.join(data.class_names[:5])}, ...)."
        )
    return data, val_data


def _preview(path, data, recipe, seed):
    batches = recipe.batches(data, min(PREVIEW_IMAGES, len(data)), seed)
    inputs, labels = next(batches.as_numpy_iterator())
    pictures = []
    for row, image in enumerate(inputs["images"]):
        masks = paste_masks(labels["masks"][row], labels["boxes"][row], image.shape[:2])
        boxes, classes = labels["boxes"][row], labels["classes"][row]
        pictures.append(draw_detections(image, boxes, classes, None, data.class_names, masks))
    save_picture(np.concatenate(pictures), path)
    print(f"{len(pictures)} training images as the model gets them: {path}. Nothing was trained.")


def _report(history, output):
    for name, what in METRICS.items():
        values = history[name]
        best = max(range(len(values)), key=values.__getitem__)
        print(f"AP of {what}: best {values[best]:.3f} in epoch {best + 1}, last {values[-1]:.3f}")
    print(f"written: {', '.join(os.path.join(output, name) for name in ('best.keras', 'last.keras', 'history.csv'))}")
