"""The same model on several backends: its speed, its memory, and whether the numbers agree."""

from keras_mambaout.backend import BACKENDS
from keras_mambaout.compare.comparison import compare_backends
from keras_mambaout.compare.differences import TOLERANCES
from keras_mambaout.compare.report import format_report

__all__ = ["compare_backends", "format_report", "BACKENDS", "TOLERANCES"]
