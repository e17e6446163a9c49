"""What polygons, run lengths and boxes must be, before C code that trusts them draws and compares them."""

import itertools
import math
import numbers
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FARTHEST = 1_000_000  # pixels from the image's corner that a point may be
LONGEST = 2**22  # pixels of a polygon's outline: drawing takes some 80 bytes for each
CHUNK = 4096  # values that are looked at together
CHARACTERS = 6  # most of a number in compressed run lengths: 30 bits are enough for any image that is allowed


def find_problems(values: Sequence, problem: Callable[[Sequence], str | None]) -> dict[int, str]:
    """Returns what is wrong with each of the values that is wrong, by its position.

    Args:
        values: The values.
        problem: Function that says what is wrong with some of them taken together, `None` if nothing is. It is called
            with many at once, and with halves of those in which something is wrong.
    """
    found = {}

    def search(first, stop):
        text = problem(values[first:stop])
        if text is not None and stop - first == 1:
            found[first] = text
        elif text is not None:
            middle = (first + stop) // 2
            search(first, middle)
            search(middle, stop)

    for first in range(0, len(values), CHUNK):
        search(first, min(first + CHUNK, len(values)))
    return found


def boxes_problem(boxes: Sequence) -> str | None:
    """Returns what is wrong with boxes, x, y, width and height in pixels; those without area are right."""
    four = all(isinstance(box, (list, tuple, np.ndarray)) and len(box) == 4 for box in boxes)
    array = _numbers(boxes) if four else None
    if array is None or not np.all(np.abs(array) <= FARTHEST) or np.any(array.reshape(-1, 4)[:, 2:] < 0):
        return (
            "'bbox' must be four finite numbers, x, y, width and height in pixels, width and height 0 or more, "
            f"none beyond {FARTHEST:,}; got {show(boxes[0])}"
        )
    return None


def numbers_problem(key: str, least: float = -math.inf) -> Callable[[Sequence], str | None]:
    """Returns the function that says what is wrong with numbers, which are called `key`."""

    def problem(values):
        array = _numbers([values])
        if array is None or not np.all(np.isfinite(array) & (array >= least)):
            limit = "" if least == -math.inf else f" of {least:g} or more"
            return f"{key!r} must be a finite number{limit}, got {show(values[0])}"
        return None

    return problem


def polygons_problem(objects: Sequence[list]) -> str | None:
    """Returns what is wrong with the polygons of objects, a list of `[x, y, x, y, ...]` each.

    A polygon has three points or more. They may lie outside of the image, as some of COCO's do.
    """
    polygons = list(itertools.chain.from_iterable(objects))
    values = _numbers(polygons) if set(map(type, polygons)) <= {list, tuple} else None
    if values is None:
        return (
            "'segmentation' must be a list of polygons, [[x, y, x, y, ...], ...], of numbers and not of points, or run "
            f"lengths; got {show(objects[0])}"
        )
    counts = np.fromiter(map(len, polygons), "int64", len(polygons))
    if np.any(counts < 6) or np.any(counts % 2):
        wrong = counts[(counts < 6) | (counts % 2 == 1)][0]
        return f"a polygon must have an even count of numbers, 6 or more, got {wrong}"
    if not np.all(np.abs(values) <= FARTHEST):
        wrong = values[~(np.abs(values) <= FARTHEST)][0]
        return f"a polygon's points must be finite and within {FARTHEST:,} pixels, got {wrong:g}"
    longest = np.max(outlines(values.reshape(-1, 2), counts // 2), initial=0)
    if longest > LONGEST:
        return f"a polygon's outline may be {LONGEST:,} pixels long, got {longest:.0f}"
    return None


def outlines(points: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the lengths of polygons' outlines, as C code that draws them counts: `max(|dx|, |dy|)` of each side.

    Args:
        points: `(n, 2)`, of one polygon after the other.
        counts: How many points each polygon has.
    """
    stops = np.cumsum(counts)
    following = np.arange(1, len(points) + 1)
    following[stops - 1] = stops - counts  # from the last point to the first
    sides = np.abs(points[following] - points).max(-1)
    return np.add.reduceat(sides, stops - counts) if len(counts) else np.zeros(0)


def runs_problem(runs: dict, size: tuple[int, int]) -> str | None:
    """Returns what is wrong with run lengths, a list or compressed to text, for an image of this height and width."""
    given, counts, pixels = runs.get("size"), runs.get("counts"), size[0] * size[1]
    if not isinstance(given, (list, tuple)) or list(given) != list(size) or not all(map(is_integer, given)):
        return f"'size' of run lengths must be the image's [height, width], {list(size)}, got {show(given)}"
    if isinstance(counts, (str, bytes)):
        lengths = _decompress(counts)
    else:
        lengths = _integers(counts) if isinstance(counts, list) else None
    if lengths is None or np.any((lengths < 0) | (lengths > pixels)) or np.any(lengths[1:-1] == 0):
        return f"'counts' must be run lengths, integers of 1 or more or COCO's compressed form, got {show(counts)}"
    if np.sum(lengths) != pixels:
        return f"'counts' must add up to the image's {pixels} pixels, got {np.sum(lengths)}"
    return None


def _decompress(text):
    """Returns the run lengths that a compressed text holds, `None` if it holds none.

    Each is stored as `length[i] - length[i - 2]` from the fourth on, five bits a character, the lowest first: 32 says
    that the number goes on, 16 in its last character that it is negative.
    """
    try:
        codes = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, "uint8").astype("int64") - 48
    except UnicodeEncodeError:
        return None
    last = codes & 32 == 0
    if not len(codes) or np.any((codes < 0) | (codes > 63)) or not last[-1]:
        return None
    stops = np.flatnonzero(last) + 1
    starts = np.concatenate([[0], stops[:-1]])
    sizes = stops - starts
    if np.max(sizes) > CHARACTERS:
        return None
    places = np.arange(len(codes)) - np.repeat(starts, sizes)
    values = np.add.reduceat((codes & 31) << 5 * places, starts)
    values -= np.where(codes[stops - 1] & 16, 1 << 5 * sizes, 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _numbers(lists):
    """Returns the numbers in lists one after the other, float64, `None` if something else is among them."""
    kinds = set(map(type, itertools.chain.from_iterable(lists)))
    if not all(issubclass(kind, numbers.Real) and kind is not bool for kind in kinds):
        return None
    try:
        return np.fromiter(itertools.chain.from_iterable(lists), "float64")
    except OverflowError:  # an integer of hundreds of digits
        return None


def _integers(values):
    if not all(map(is_integer, values)):
        return None
    try:
        return np.array(values, "int64")
    except OverflowError:
        return None


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, of Python or NumPy, and no bool."""
    return type(value) is int or (isinstance(value, numbers.Integral) and not isinstance(value, bool))


def show(value: Any) -> str:
    """Returns a value as text that is short whatever it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__}"
