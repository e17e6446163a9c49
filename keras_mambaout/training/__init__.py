"""Training: recipes and their parts, runs that survive, several devices and hosts."""

from keras_mambaout.training.checkpoints import Backup, BestAndLast, CheckpointError
from keras_mambaout.training.distribution import distribute
from keras_mambaout.training.instance_recipe import InstanceRecipe
from keras_mambaout.training.optimizer import AdamW
from keras_mambaout.training.preview import draw_batch
from keras_mambaout.training.recipe import Recipe
from keras_mambaout.training.scene_recipe import SceneRecipe
from keras_mambaout.training.schedule import WarmupCosine, WarmupPolynomial, WarmupSteps
from keras_mambaout.training.train import train
