"""The name under which Keras registers what this package saves."""

PACKAGE = "keras_mambaout"
