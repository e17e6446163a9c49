"""Backbone, classifier and the models by name."""

from keras_mambaout.models.macs import count_macs
from keras_mambaout.models.saved import load_model
