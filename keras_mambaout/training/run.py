"""A whole training run in a folder: logs, checkpoints, and going on after an interruption."""

import dataclasses
import os
import sys

import keras

from keras_mambaout.extras import import_extra
from keras_mambaout.training.checkpoints import Backup, BestAndLast
from keras_mambaout.training.distribution import Devices
from keras_mambaout.training.run_folder import RunFolder


def train(
    model,
    recipe,
    data,
    val_data=None,
    output="output/train",
    accumulate=1,
    seed=0,
    resume=False,
    strict=False,
    devices=None,
    callbacks=(),
):
    """Trains a model by a recipe with `model.fit`, and keeps all there is to know about it in a folder.

    The folder gets `best.keras` (of the highest `recipe.monitor` in the logs) and `last.keras`, `history.csv`,
    `tensorboard/` for TensorBoard, `settings.json`, `classes.txt`, and `backup/`, from which an interrupted run
    goes on with `resume=True`. The images of an epoch, their order and their augmentation are a function of
    `seed` and the epoch, and the backup has the states of optimizer and random numbers: such a run ends with
    the weights of one that was never interrupted.

    Args:
        model: A classifier, `(B, H, W, 3)` -> `(B, classes)`, a `MaskRCNN` or a `UperNet`; it is compiled here.
        recipe: A `ClassificationRecipe`, an `InstanceSegmentationRecipe` for a `MaskRCNN`, or a `SemanticSegmentationRecipe` for a `UperNet`. Its
            `drop_path_rate` is the model's matter, `create_model`, `mask_rcnn` and `upernet` take it.
        data: A `ClassificationDataset`, a `CocoDataset` or a `SegmentationDataset`, for training.
        val_data: Another one, or `None`.
        output: Folder, in which there may be no other run.
        accumulate: Steps of `fit` a weight update is computed from, each of `recipe.batch_size / accumulate`
            images: for machines whose memory does not take the batch.
        seed: Of the images' order and augmentation. For the model's kernels and drop path call
            `keras.utils.set_random_seed` before it is made.
        resume: Whether to go on with the run in `output`, if there is one.
        strict: Whether an unreadable image ends the run. Otherwise it is named, left out and counted.
        devices: What `distribute` yields, for several devices or hosts; the model must be made under it. All hosts
            must see the folder `output`; the first one writes.
        callbacks: Further callbacks of `fit`, called before those that write, such as
            `CocoMeanAveragePrecision`, which measures what an `InstanceSegmentationRecipe` chooses the best model by, or
            `SegmentationMeanIoU` for a `SemanticSegmentationRecipe`. They measure after every epoch: `history.csv` has the columns of the
            first.

    Returns:
        A dict from the name of a log (`"loss"`, `"val_accuracy"`, ...) to its values, one an epoch.

    Raises:
        ValueError: If batches and devices do not fit, the classes of model and data differ, the folder has a run
            of other settings, or a file cannot be written.
        ImportError: If TensorBoard or TensorFlow, which reads the images, is not installed (extra `training`).

    Example:
    ```python
    data, val_data = ClassificationDataset.from_folder("photos/train"), ClassificationDataset.from_folder("photos/val")
    recipe = ClassificationRecipe.finetune("mambaout_tiny")
    model = MambaOutTiny(classes=data.num_classes, drop_path_rate=recipe.drop_path_rate)
    history = train(model, recipe, data, val_data, "output/photos")
    ```
    """
    import_extra("tensorboard", "training")
    devices = devices or Devices()
    if devices.replicas > 1 and not recipe.several_devices:
        raise ValueError(
            f"{type(recipe).__name__} trains on one device, got {devices.replicas}: use `devices=1`, with "
            "`accumulate` for a batch that is too large for it."
        )
    step_batch = _step_batch(recipe.batch_size, accumulate, devices.replicas)
    _check_classes(model, data, val_data)
    steps = data.steps_per_epoch(step_batch)
    recipe.compile(model, steps, accumulate)

    settings = {"model": model.name, "seed": seed, "accumulate": accumulate, "images": len(data)}
    run = RunFolder(output, {**settings, "recipe": dataclasses.asdict(recipe)}, data.class_names, devices.chief)
    backup = Backup(os.path.join(output, "backup"), devices)
    first = run.open(resume, backup)
    backup.restore(model)
    devices.prepare(model)

    def batches(shard):
        return recipe.batches(data, step_batch, seed=seed, epochs=(first, recipe.epochs), shard=shard)

    val_batches = None if val_data is None else recipe.validation(val_data, step_batch)
    ema = keras.callbacks.SwapEMAWeights() if recipe.ema_momentum is not None else None
    best = max((row[recipe.monitor] for row in run.rows if recipe.monitor in row), default=None)
    callbacks = [*callbacks, *([ema] if ema else [])]
    if strict:
        callbacks.append(_StopAtUnreadable(data, val_data))
    if devices.chief:
        tensorboard = keras.callbacks.TensorBoard(os.path.join(output, "tensorboard"), write_graph=False)
        callbacks += [tensorboard, keras.callbacks.CSVLogger(run.history, append=True)]
    callbacks += [BestAndLast(output, recipe.monitor, best, ema, devices), backup]
    new = {}
    if first < recipe.epochs:
        new = model.fit(
            devices.feed(batches),
            epochs=recipe.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            shuffle=False,  # the data set does it
            validation_data=None if val_batches is None else devices.feed(val_batches),
            callbacks=callbacks,
            verbose=(1 if sys.stdout.isatty() else 2) if devices.chief else 0,
        ).history
        if ema and keras.backend.backend() == "jax":
            # Keras put the averages into the model by reference: whatever runs next would delete them there too.
            for variable in model.optimizer.variables:
                variable.assign(variable.numpy())
    names = new or (name for name in next(iter(run.rows), ()) if name != "epoch")
    return {name: [row[name] for row in run.rows] + new.get(name, []) for name in names}


class _StopAtUnreadable(keras.callbacks.Callback):
    """Raises after a step that had to do without an image."""

    def __init__(self, *datasets):
        super().__init__()
        self.datasets = [dataset for dataset in datasets if dataset is not None]

    def on_train_batch_end(self, batch, logs=None):
        unreadable = [name for dataset in self.datasets for name in getattr(dataset, "unreadable", ())]
        if unreadable:
            raise ValueError(f"Unreadable images, with which a strict run ends: {', '.join(unreadable)}.")

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(None)


def _step_batch(batch_size, accumulate, replicas):
    parts = accumulate * replicas
    if accumulate < 1 or batch_size % parts:
        raise ValueError(
            f"A batch of {batch_size} images does not go into {accumulate} accumulated steps on {replicas} device(s): "
            f"take a multiple of {max(parts, 1)}."
        )
    return batch_size // accumulate


def _check_classes(model, data, val_data):
    classes = getattr(model, "num_classes", None) or model.output_shape[-1]
    if classes != data.num_classes:
        raise ValueError(
            f"The model has {classes} classes, the training images have {data.num_classes} "
            f"({', '.join(data.class_names[:5])}, ...): make the model with classes={data.num_classes}."
        )
    if val_data is not None and val_data.class_names != data.class_names:
        raise ValueError(
            f"The images for validation have other classes ({', '.join(val_data.class_names[:5])}, ...) than those for "
            f"training ({', '.join(data.class_names[:5])}, ...)."
        )
