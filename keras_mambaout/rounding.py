"""How far arrays that should be equal lie apart. NumPy only."""

import numpy as np


def relative_difference(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Returns `max |a - b| / max |b|`; infinite if a value is not finite, and `max |a - b|` if `b` is all zeros.

    If `max |b|` is less than `least`, the difference is relative to that.
    """
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = max(largest_magnitude(b), least)
    return largest_magnitude(a - b) / (scale if scale > 0 else 1.0)


def largest_magnitude(values: np.ndarray) -> float:
    """Returns the largest magnitude, 0 of no values."""
    return float(np.abs(values).max(initial=0.0))
