"""Selects rows of a batch by score or by index."""

from typing import Any

from keras import ops


def top_rows(scores: Any, count: int) -> tuple[Any, Any]:
    """Returns the `count` highest of scores `(B, N)` and their rows, or all if there are fewer.

    On TensorFlow, `N` may be unknown: then there are always `count`, and missing ones have a score of -1.
    """
    if scores.shape[1] is not None:
        return ops.top_k(scores, min(count, scores.shape[1]))
    last = ops.shape(scores)[1] - 1
    scores, rows = ops.top_k(ops.pad(scores, ((0, 0), (0, count)), constant_values=-1.0), count)
    return scores, ops.minimum(rows, last)


def gather(values: Any, indices: Any) -> Any:
    """Returns `values[b, indices[b, s]]`, for values `(B, N, ...)` and indices `(B, S)`."""
    for _ in range(len(values.shape) - 2):
        indices = indices[..., None]
    return ops.take_along_axis(values, indices, axis=1)
