"""Checks of arguments, each with an error that says what was given, what is allowed and what to do."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mambaout.config import MIN_IMAGE_SIZE

DATA_FORMATS = ("channels_last", "channels_first")
POOLINGS = (None, "avg", "max")
CROP_MODES = ("center", "squash")


def check_choice(name: str, value: Any, allowed: Sequence) -> Any:
    """Returns a value that is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    return value


def check_rate(name: str, value: Any) -> float:
    """Returns a probability below 1."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        raise ValueError(f"`{name}` must be a number at least 0 and below 1, got {value!r}.")
    return float(value)


def check_positive_integer(name: str, value: Any, hint: str = "") -> int:
    """Returns an integer of 1 or more; the error ends with the hint."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be an integer of 1 or more, got {value!r}.{hint}")
    return value


def check_range(name: str, value: Any, maximum: float = math.inf) -> tuple[float, float]:
    """Returns two numbers as a tuple, the lower first, above 0 and at most `maximum`."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(numbers) != 2 or not all(map(is_number, numbers)) or not 0.0 < numbers[0] <= numbers[1] <= maximum:
        limits = "above 0" if maximum == math.inf else f"above 0 and at most {maximum:g}"
        raise ValueError(f"`{name}` must be two numbers, the lower first, {limits}, got {value!r}.")
    return numbers


def check_number(name: str, value: Any, maximum: float = math.inf) -> float:
    """Returns a number from 0 to `maximum`."""
    if not is_number(value) or not 0.0 <= value <= maximum:
        limits = "of 0 or more" if maximum == math.inf else f"from 0 to {maximum:g}"
        raise ValueError(f"`{name}` must be a number {limits}, got {value!r}.")
    return value


def check_positive_number(name: str, value: Any) -> float:
    """Returns a number above 0."""
    if not is_number(value) or value <= 0.0:
        raise ValueError(f"`{name}` must be a number above 0, got {value!r}.")
    return value


def check_edges(shortest_edge: Any, longest_edge: Any) -> None:
    """Checks the sides that images are resized to."""
    check_positive_integer("shortest_edge", shortest_edge)
    check_positive_integer("longest_edge", longest_edge)
    if longest_edge < shortest_edge:
        raise ValueError(f"`longest_edge` must be at least `shortest_edge` ({shortest_edge}), got {longest_edge}.")


def is_number(value: Any) -> bool:
    """Whether a value is a finite integer or float, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float is as large as
        return False


def check_classes(value: Any) -> int:
    """Returns a number of classes."""
    return check_positive_integer("classes", value, " For a model without a classifier use `include_top=False`.")


def check_saved_weights(config: Mapping[str, Any]) -> None:
    """Checks that the configuration of a saved model names no weights: its values are beside it."""
    if config.get("weights") is not None:
        raise ValueError(
            f"`weights` must be None in a saved configuration, got {config['weights']!r:.80}: nothing that a file "
            "names is opened. Build the model, then call load_weights."
        )


def check_input_shape(input_shape: Any, data_format: str) -> tuple[int | None, ...]:
    """Returns `input_shape` as a tuple in `data_format` with every entry checked."""
    order = "(height, width, channels)" if data_format == "channels_last" else "(channels, height, width)"
    if input_shape is None:
        return (None, None, 3) if data_format == "channels_last" else (3, None, None)
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if len(shape) != 3:
        raise ValueError(
            f"`input_shape` must have three entries, {order} without the batch, got {input_shape!r}. "
            "Height and width may be None for any size."
        )
    sizes, channels = (shape[:2], shape[2]) if data_format == "channels_last" else (shape[1:], shape[0])
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(
            f"`input_shape` must name the number of channels, {order} with {data_format}, got {input_shape!r}."
        )
    for size in sizes:
        if size is not None and (not isinstance(size, int) or size < MIN_IMAGE_SIZE):
            raise ValueError(
                f"Height and width in `input_shape` must be {MIN_IMAGE_SIZE} or more, or None for any size; "
                f"got {input_shape!r} read as {order}. Enlarge smaller images first, e.g. with keras.layers.Resizing."
            )
    return shape
