"""A whole training run in a folder: logs, checkpoints, and going on after an interruption."""

import dataclasses
import os
import sys
from collections.abc import Iterable

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.data.dataset import ImageDataset
from keras_mambaout.extras import import_extra
from keras_mambaout.models.mixins import InferenceSettingsMixin
from keras_mambaout.training.backup import Backup, RestOfEpoch
from keras_mambaout.training.checkpoints import BestAndLast, averaged
from keras_mambaout.training.distribution import Devices
from keras_mambaout.training.fitting import whole_after
from keras_mambaout.training.recipe import TrainingRecipe
from keras_mambaout.training.run_folder import BACKUP_FOLDER, TENSORBOARD, RunFolder


def train(
    model: keras.Model,
    recipe: TrainingRecipe,
    data: ImageDataset,
    val_data: ImageDataset | None = None,
    output: str | os.PathLike = "output/train",
    accumulate: int = 1,
    seed: int = 0,
    resume: bool = False,
    strict: bool = False,
    devices: Devices | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    weights: str | None = None,
    backup_every: int | None = None,
) -> dict[str, list[float]]:
    """Trains a model by a recipe with `model.fit`, and keeps all there is to know about it in a folder.

    The folder gets `best.keras` (of the highest `recipe.monitor` in the logs) and `last.keras`, `history.csv`,
    `tensorboard/` for TensorBoard, `settings.json`, `classes.txt`, and `backup/`, from which an interrupted run
    goes on with `resume=True`. The images of an epoch, their order and their augmentation are a function of
    `seed` and the epoch, and the backup has the states of optimizer, random numbers and metrics: such a run ends with
    the weights and the logs of one that was never interrupted.

    The model carries along the classes and image sizes of the training, `model.inference_settings`: a saved one
    predicts and evaluates without being told them again. (Models of other classes than this package's do not.)

    With `val_data`, the recipe's callbacks measure after each epoch what `best.keras` is chosen by: the AP of masks
    of an `InstanceSegmentationRecipe`, the mIoU of a `SemanticSegmentationRecipe`.

    Args:
        model: A model of the recipe's task: a classifier `(B, H, W, 3)` -> `(B, classes)`, a `MaskRCNN` or a
            `UperNet`. It is compiled here.
        recipe: A `ClassificationRecipe`, `InstanceSegmentationRecipe` or `SemanticSegmentationRecipe`. Its
            `drop_path_rate` is not set here: pass it to `create_model`, `mask_rcnn` or `upernet`.
        data: A `ClassificationDataset`, `CocoDataset` or `SegmentationDataset`, for training.
        val_data: Another one, for validation, or `None`.
        output: Folder, in which there may be no other run. Only one process trains in it at a time.
        accumulate: Steps of `fit` per weight update, each of `recipe.batch_size / accumulate` images: for machines
            whose memory is too small for the batch.
        seed: Of the images' order and augmentation. For the model's kernels and drop path call
            `keras.utils.set_random_seed` before the model is made.
        resume: Whether to go on with the run in `output`, if there is one. It must have had the same recipe, precision,
            `weights`, `seed` and `accumulate`, the same class names, and images of the same names with the same labels
            (classes and boxes; what is in image files, masks and label maps is not compared).
        strict: Whether an unreadable image ends the run. Otherwise it is named, left out and counted.
        devices: What `distribute` yields, for several devices or hosts; the model must be made under it. All hosts
            must see the folder `output`; the first one writes.
        callbacks: Further callbacks of `fit`, called after the recipe's and before those that write. One of the
            class of a recipe's callback, such as `SegmentationMeanIoU(val_data, every=10)`, takes its place.
        weights: What the model started from, such as `"imagenet"`, for the settings of the run; `None` is not compared.
        backup_every: Steps of `fit` from one backup to the next inside an epoch, for epochs that take hours; `None`
            for one after each epoch. It may be a different number when the run is resumed. (Callbacks then count the
            batches of the first epoch from where it goes on.)

    Returns:
        A dict from the name of a log (`"loss"`, `"val_accuracy"`, ...) to its values, one per epoch, NaN in epochs
        without it.

    Raises:
        ValueError: If batches and devices do not fit, the classes of model and data differ, the folder has a run
            with other settings, another process trains in it, its files are damaged, or a file cannot be written.
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
    step_batch = recipe.step_batch_size(accumulate, devices.replicas)
    _check_classes(model, data, val_data)
    steps = data.steps_per_epoch(step_batch)
    if backup_every is not None:
        check_positive_integer("backup_every", backup_every)
    recipe.compile(model, steps, accumulate)
    if isinstance(model, InferenceSettingsMixin):
        model.inference_settings = recipe.inference_settings(data)

    settings = {
        "model": model.name,
        "network": _network(model),
        "weights": weights,
        "precision": model.dtype_policy.name,
        "seed": seed,
        "accumulate": accumulate,
        "images": len(data),
        "images_digest": data.digest(),
        "val_images": 0 if val_data is None else len(val_data),
        "val_images_digest": None if val_data is None else val_data.digest(),
        "recipe": dataclasses.asdict(recipe),
    }
    run = RunFolder(os.fspath(output), settings, data.class_names, devices.chief)
    backup = Backup(os.path.join(output, BACKUP_FOLDER), devices, backup_every)
    with run.opened(resume, backup):
        first, step = backup.restore(model)
        devices.prepare(model)
        ema = keras.callbacks.SwapEMAWeights() if recipe.ema_momentum is not None else None
        own = [] if val_data is None else recipe.callbacks(val_data, step_batch)
        measuring = _measuring(own, list(callbacks), ema, devices)
        stopping = [_StopAtUnreadable(data, val_data)] if strict else []
        writing = _writing(run, recipe.monitor, ema, devices, backup)
        epochs = first, recipe.epochs
        if first < recipe.epochs:
            with whole_after(model), run.logged():
                model.fit(
                    devices.feed(lambda shard: recipe.batches(data, step_batch, seed, epochs, step, shard)),
                    epochs=recipe.epochs,
                    initial_epoch=first,
                    steps_per_epoch=steps,
                    shuffle=False,  # the data set does it
                    validation_data=None if val_data is None else devices.feed(recipe.validation(val_data, step_batch)),
                    callbacks=[RestOfEpoch(step), *measuring, *stopping, *writing],
                    verbose=(1 if sys.stdout.isatty() else 2) if devices.chief else 0,
                )
            if ema and keras.backend.backend() == "jax":
                # Keras put the averages into the model by reference: whatever runs next would delete them there too.
                for variable in model.optimizer.variables:
                    variable.assign(variable.numpy())
    return run.history.columns()


def _measuring(own, given, ema, devices):
    """Returns the recipe's callbacks, or those given in their place, and the other ones given, told of the devices."""
    replaced = [callback for callback in own if any(isinstance(other, type(callback)) for other in given)]
    instead = [callback for callback in given if isinstance(callback, tuple(map(type, replaced)))]
    measuring = [callback for callback in own if callback not in replaced] + instead
    for callback in [*measuring, *given]:
        if getattr(callback, "devices", devices) is None:
            callback.devices = devices
    if ema:
        measuring = [_OnAverages(callback, ema) for callback in measuring]
    return measuring + [callback for callback in given if callback not in instead]


def _writing(run, monitor, ema, devices, backup):
    """Returns the callbacks that write into the folder of the run, in their order."""
    callbacks = [ema] if ema else []
    if devices.chief:
        callbacks.append(keras.callbacks.TensorBoard(os.path.join(run.folder, TENSORBOARD), write_graph=False))
    history = keras.callbacks.LambdaCallback(on_epoch_end=run.append)
    return [*callbacks, history, BestAndLast(run.folder, monitor, run.history.best(monitor), ema, devices), backup]


class _OnAverages(keras.callbacks.Callback):
    """Lets a callback measure the averaged weights at the end of an epoch: `best.keras` will have them."""

    def __init__(self, callback, ema):
        super().__init__()
        self.callback, self.ema = callback, ema

    def set_model(self, model):
        super().set_model(model)
        self.callback.set_model(model)

    def on_train_begin(self, logs=None):
        self.callback.on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.ema):
            self.callback.on_epoch_end(epoch, logs)


class _StopAtUnreadable(keras.callbacks.Callback):
    """Raises after a step that had to do without an image."""

    def __init__(self, *datasets):
        super().__init__()
        self.datasets = [dataset for dataset in datasets if dataset is not None]

    def on_train_batch_end(self, batch, logs=None):
        unreadable = [name for dataset in self.datasets for name in dataset.unreadable]
        if unreadable:
            raise ValueError(f"Unreadable images, with which a strict run ends: {', '.join(unreadable)}.")

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(None)


def _network(model):
    """Returns what the backbone of a model of this package looks like, as a dict; `None` for others."""
    config = getattr(getattr(model, "backbone", model), "config", None)
    return dataclasses.asdict(config) if isinstance(config, MambaOutConfig) else None


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
