"""Training: the base of recipes, runs that survive, several devices and hosts."""

from keras_mambaout.training.checkpoints import Backup, BestAndLast, CheckpointError
from keras_mambaout.training.distribution import distribute
from keras_mambaout.training.optimizer import AdamW
from keras_mambaout.training.schedule import WarmupCosine, WarmupPolynomial, WarmupSteps
from keras_mambaout.training.run import train
