"""Models outside of Keras: written for other runtimes, proved there, and used again without Keras."""

from keras_mambaout import backend
from keras_mambaout.exporting.formats import FORMATS
from keras_mambaout.exporting.loading import ExportedModel, load_exported

if backend.MISSING is None:
    from keras_mambaout.exporting.exporter import export

__all__ = ["export", "load_exported", "ExportedModel", "FORMATS"]

__getattr__ = backend.says_what_is_missing(__name__)
