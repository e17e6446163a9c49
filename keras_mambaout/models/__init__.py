"""Backbone, classifier and the models by name."""
