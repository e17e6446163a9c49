"""What the scores of a classifier are: logits or probabilities. NumPy only."""

from typing import Any

import numpy as np


def gives_logits(model: Any) -> bool | None:
    """Returns whether a classifier gives logits, not probabilities; `None` if its last layer does not say.

    Args:
        model: A `keras.Model`, or a model with an attribute `gives_logits`, as an exported one has.
    """
    if hasattr(model, "gives_logits"):
        return model.gives_logits
    last = model
    while hasattr(last, "layers"):
        last = last.layers[-1] if getattr(last, "outputs", None) else None
    if type(last).__name__ == "Softmax":
        return False
    name = getattr(getattr(last, "activation", None), "__name__", None)
    return {"linear": True, "softmax": False}.get(name)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Returns the probabilities that belong to logits `(..., classes)`."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
