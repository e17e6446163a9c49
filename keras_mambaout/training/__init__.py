"""Training: the base of recipes, runs that survive, several devices and hosts."""

from keras_mambaout.training.backup import Backup, RestOfEpoch
from keras_mambaout.training.checkpoints import BestAndLast, CheckpointError
from keras_mambaout.training.distribution import Devices, distribute
from keras_mambaout.training.optimizer import AdamW
from keras_mambaout.training.recipe import TrainingRecipe
from keras_mambaout.training.run import train
from keras_mambaout.training.schedule import Warmup

__all__ = [
    "train",
    "TrainingRecipe",
    "AdamW",
    "Warmup",
    "Backup",
    "RestOfEpoch",
    "BestAndLast",
    "CheckpointError",
    "Devices",
    "distribute",
]
