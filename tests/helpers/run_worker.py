"""Trains a small model on images in a folder, by `train`, and can be killed on the way.

    KERAS_BACKEND=jax python tests/helpers/run_worker.py IMAGES OUTPUT POINT...

Resumes what is in OUTPUT, once for each POINT, which is where a process kills itself with SIGKILL in the second epoch:
`step`, a step after a backup; `backup`, while it writes one; `between`, after the models are saved and before the
backup of the epoch is. The processes are forks of this one, which has imported all that takes time, and begun nothing
else.
"""

import os
import signal
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

from keras_mambaout import MambaOutBackbone, MambaOutClassifier, MambaOutConfig
from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe
from keras_mambaout.classification.augmentation import ClassificationAugmentation
from keras_mambaout.training import checkpoints, train

RECIPE = ClassificationRecipe(
    epochs=3,
    batch_size=8,
    base_learning_rate=2e-3,
    base_batch_size=8,
    warmup_epochs=1,
    image_size=32,
    drop_path_rate=0.2,
    augmentation=ClassificationAugmentation(rand_augment_ops=1),
    ema_momentum=0.9,
    clip_norm=5.0,
)


def small_model(classes):
    config = MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    backbone = MambaOutBackbone(config, input_shape=(32, 32, 3), drop_path_rate=RECIPE.drop_path_rate)
    return MambaOutClassifier(backbone, classes=classes, dropout_rate=0.1)


BACKUP_EVERY = 3  # of the six steps of an epoch, two of which make an update: in the middle of one


def main(images, output, point=None):
    data, val_data = (ClassificationDataset.from_folder(os.path.join(images, part)) for part in ("train", "val"))
    keras.utils.set_random_seed(1)
    model = small_model(data.num_classes)
    if point:
        prepare_to_die(point)
    return train(
        model,
        RECIPE,
        data,
        val_data,
        output,
        accumulate=2,
        seed=3,
        resume=True,
        callbacks=[dies_at_step(point)],
        backup_every=BACKUP_EVERY if point else None,
    )


def killed(images, output, point):
    """Runs `main` in a process of its own, and returns its exit status, negative for a signal."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            main(images, output, point)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_step(point):
    """Returns a callback that ends the process in the second epoch, a step after a backup."""
    at = []

    def on_epoch_begin(epoch, logs):
        at[:] = [BACKUP_EVERY] if point == "step" and epoch == 1 else []

    def on_train_batch_end(step, logs):
        if step in at:
            die()

    return keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin, on_train_batch_end=on_train_batch_end)


def prepare_to_die(point):
    """Makes the process end when it writes a backup in the second epoch, or the one after it."""
    whole = checkpoints.write_whole

    def write_whole(path, write):
        def write_half(part):
            write(part)
            os.truncate(part, os.path.getsize(part) // 2)
            die()

        name = os.path.basename(path)
        if point == "between" and name == "epoch-0002.npz":
            die()
        dies = point == "backup" and name.startswith(("epoch-0001-step", "epoch-0002"))
        whole(path, write_half if dies else write)

    checkpoints.write_whole = write_whole


if __name__ == "__main__":
    images, output, *points = sys.argv[1:]
    print([killed(images, output, point) for point in points])
