"""What the options of the commands may be: numbers with their ranges, texts, and places to write to.

Each is a `type` of `argparse`: what is out of range is an error before any image is read or model loaded. The ranges
are for whoever types: wide, and too narrow for the slip that would take all memory. The functions of the package have
their own checks.
"""

import argparse
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from keras_mambaout.config import MIN_IMAGE_SIZE, TOKEN_MIXERS
from keras_mambaout.exporting.formats import DYNAMIC
from keras_mambaout.files import check_folder, check_output_file, check_output_folder


@dataclasses.dataclass(frozen=True)
class Number:
    """Reads a number in a range.

    Args:
        kind: `int` or `float`.
        minimum: The smallest number that is allowed.
        maximum: The largest.
        below: Whether `maximum` is itself not allowed.
    """

    kind: type
    minimum: float
    maximum: float
    below: bool = False

    def __call__(self, text: str) -> Any:
        try:
            value = self.kind(text)
            valid = self.minimum <= value < self.maximum or (value == self.maximum and not self.below)  # NaN is not
        except ValueError:
            valid = False
        if not valid:
            what = "an integer" if self.kind is int else "a number"
            limits = f"at least {self.minimum} and below" if self.below else f"from {self.minimum} to"
            raise argparse.ArgumentTypeError(f"must be {what} {limits} {self.maximum}, got {text!r}")
        return value


SIDE = Number(int, MIN_IMAGE_SIZE, 8192)  # of images, in pixels
IMAGES = Number(int, 1, 65536)  # in a batch
STEPS = Number(int, 1, 65536)
EPOCHS = Number(int, 1, 1_000_000)
CHANNELS = Number(int, 1, 4096)
CLASSES = Number(int, 1, 100_000)  # to print
PICTURES = Number(int, 0, 1000)
SEED = Number(int, 0, 2**32 - 1)
SHARE = Number(float, 0, 1)
CROP = Number(float, 0.1, 1)
RATE = Number(float, 0, 1, below=True)  # of drop path, and of averages
LEARNING_RATE = Number(float, 1e-10, 100)
NORM = Number(float, 1e-10, 1e10)
DEVICES = Number(int, 1, 65536)
LABEL = Number(int, 0, 2**16 - 1)  # what a PNG's pixel can be

TOKEN_MIXER: Mapping[str, Any] = {  # what `--token-mixer` is, wherever a network is made by name
    "default": "conv",
    "choices": TOKEN_MIXERS,
    "help": "what mixes pixels: the convolution, a state space model after it as in Mamba, the convolution of the "
    "pixels before alone, or nothing (default: %(default)s)",
}


def batch_size(text: str) -> int | str:
    """Reads a number of images, or `dynamic`."""
    return DYNAMIC if text == DYNAMIC else IMAGES(text)


def text(value: str) -> str:
    """Reads any text that is not empty, such as the path of a file; the type of options that name no other."""
    try:
        os.fsencode(value)
        valid = bool(value.strip()) and "\0" not in value
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"must not be empty or have characters that no file name has, got {value!r}")
    return value


def labels(value: str) -> list[int]:
    """Reads numbers with commas between them, of pixels of label maps."""
    return [LABEL(part.strip()) for part in value.split(",")]


def devices(value: str) -> str | int:
    """Reads a number of devices, or `auto`."""
    return value if value == "auto" else DEVICES(value)


def output_folder(value: str) -> str:
    """Reads the path of a folder that files can be written into."""
    return _checked(text(value), check_output_folder)


def picture(value: str) -> str:
    """Reads the path of a PNG file that can be written, also in a folder that is not made yet."""
    return _checked(text(value), check_output_file, ".png")


def json_file(value: str) -> str:
    """Reads the path of a JSON file that can be written."""
    return _checked(text(value), check_folder, ".json")


def _checked(path, check, ending=""):
    if not path.lower().endswith(ending):
        raise argparse.ArgumentTypeError(f"must be the path of a file to write that ends in {ending}, got {path!r}")
    try:
        check(path)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
