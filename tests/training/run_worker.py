"""Trains a small model on images in a folder, by `train`, and can be killed on the way.

    KERAS_BACKEND=jax python tests/training/run_worker.py IMAGES OUTPUT [POINT]

Resumes what is in OUTPUT. POINT is where the process kills itself with SIGKILL: `step`, in the middle of an epoch;
`backup`, while the backup is written; `between`, after the models of an epoch are saved and before its backup is.
"""

import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

from keras_mambaout import MambaOutBackbone, MambaOutClassifier, MambaOutConfig
from keras_mambaout.data import ClassificationDataset
from keras_mambaout.preprocessing.augment import Augmentation
from keras_mambaout.training import Recipe, checkpoints, train

RECIPE = Recipe(
    epochs=5,
    batch_size=8,
    base_learning_rate=2e-3,
    base_batch_size=8,
    warmup_epochs=1,
    image_size=32,
    drop_path_rate=0.2,
    augmentation=Augmentation(rand_augment_ops=1),
    ema_momentum=0.9,
    clip_norm=5.0,
)


def small_model(classes):
    config = MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    backbone = MambaOutBackbone(config, input_shape=(32, 32, 3), drop_path_rate=RECIPE.drop_path_rate)
    return MambaOutClassifier(backbone, classes=classes, dropout_rate=0.1)


def main(images, output, point=None):
    data, val_data = (ClassificationDataset.from_folder(os.path.join(images, part)) for part in ("train", "val"))
    keras.utils.set_random_seed(1)
    model = small_model(data.num_classes)
    if point:
        prepare_to_die(point)
    return train(
        model, RECIPE, data, val_data, output, accumulate=2, seed=3, resume=True, callbacks=[dies_at_step(point)]
    )


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_step(point):
    """Returns a callback that ends the process in the second half of an epoch."""
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: die() if point == "step" and step == 3 else None
    )


def prepare_to_die(point):
    """Makes the process end when it writes the backup."""
    whole = checkpoints.write_whole

    def write_whole(path, write):
        def write_half(part):
            write(part)
            os.truncate(part, os.path.getsize(part) // 2)
            die()

        if "backup" in path and point != "step":
            die() if point == "between" else whole(path, write_half)
        whole(path, write)

    checkpoints.write_whole = write_whole


if __name__ == "__main__":
    main(*map(str, map(pathlib.Path, sys.argv[1:3])), *sys.argv[3:])
