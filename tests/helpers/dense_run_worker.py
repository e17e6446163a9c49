"""Trains a small Mask R-CNN or UperNet by `train` on several devices, one of whose processes may be killed.

    KERAS_BACKEND=jax python tests/helpers/dense_run_worker.py DEVICES FOLDER [TASK] [killed]

Trains in FOLDER/run, or goes on there, with the data in FOLDER; each process writes its history to FOLDER, as JSON.
"""

import json
import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import dense_worker
import distribution_worker
import keras

from keras_mambaout.detection import CocoDataset, InstanceSegmentationRecipe
from keras_mambaout.segmentation import SegmentationAugmentation, SegmentationDataset, SemanticSegmentationRecipe
from keras_mambaout.training import train
from keras_mambaout.training.distribution import distribute

COMMON = {"epochs": 2, "batch_size": 2, "base_learning_rate": 1e-3, "base_batch_size": 2, "warmup_steps": 2}
SIZE = dense_worker.SIZE


def instances(folder):
    data = CocoDataset.from_json(folder / "objects" / "labels.json", folder / "objects")
    recipe = InstanceSegmentationRecipe(**COMMON, milestones=(1,), image_size=SIZE, max_boxes=5, mask_size=28)
    return dense_worker.create_detector(), recipe, data


def semantic(folder):
    parts = (folder / "pixels" / name for name in ("images", "labels"))
    data = SegmentationDataset.from_folder(*parts, dense_worker.NAMES)
    sizes = {"crop_size": SIZE, "shortest_edge": SIZE}
    recipe = SemanticSegmentationRecipe(**COMMON, **sizes, augmentation=SegmentationAugmentation())
    return dense_worker.create_segmenter(), recipe, data


TASKS = {"instances": instances, "semantic": semantic}


def main(task, folder, devices, killed=False):
    """Returns the history of a run."""
    model, recipe, data = TASKS[task](folder)
    callbacks = [Dies()] if killed and devices.process == devices.processes - 1 else []
    return train(model, recipe, data, data, folder / "run", resume=True, devices=devices, callbacks=callbacks)


class Dies(keras.callbacks.Callback):
    """Ends the process in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    count, folder, task, *killed = sys.argv[1:]
    distribution_worker.make_devices(int(count))
    with distribute("auto") as devices:
        history = main(task, pathlib.Path(folder), devices, bool(killed))
    (pathlib.Path(folder) / f"{devices.process}.json").write_text(json.dumps(history))
