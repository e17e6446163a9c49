"""How far the results of two backends lie apart, and whether that is further than rounding goes."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mambaout.rounding import largest_magnitude, relative_difference

# Relative to the largest value: what was measured between backends on the models of this package, with a margin.
TOLERANCES = {
    "float32": {"layers": 1e-4, "gradients": 1e-3, "losses": 1e-3},
    "mixed_bfloat16": {"layers": 1e-1, "gradients": 5e-1, "losses": 1e-2},
}


LAYER_SHARE = 0.1


def compare_arrays(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the relative difference of each array of two dictionaries; infinite if one of them lacks it."""
    return _compare(first, second, {})


def compare_gradients(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, float]:
    """As `compare_arrays`, for `{"0001 layer/weight": gradient}`: relative to at least a tenth of the layer's largest.

    Some gradients are zero but for rounding, such as that of a bias which a batch normalisation subtracts again.
    """
    largest: dict[str, float] = {}
    for name, gradient in second.items():
        layer = _layer_of(name)
        largest[layer] = max(largest.get(layer, 0.0), largest_magnitude(gradient))
    return _compare(first, second, {name: LAYER_SHARE * largest[_layer_of(name)] for name in second})


def _compare(first, second, least):
    missing = np.array([np.nan])
    return {
        name: relative_difference(first.get(name, missing), second.get(name, missing), least.get(name, 0.0))
        for name in sorted(first.keys() | second.keys())
    }


def _layer_of(name):
    return name.split(" ", 1)[1].rpartition("/")[0]


def compare_results(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compares the results of each pair of backends.

    Args:
        results: `{backend: {"layers": {name: array}, "gradients": {name: array}, "losses": [float]}}`.

    Returns:
        A list of `{"backends": [a, b], "layers": {...}, "outputs": float, "gradients": {...},
        "losses": float}`; `outputs` is the largest difference of the last layer.
    """
    pairs = []
    for a, b in itertools.combinations(results, 2):
        layers = compare_arrays(results[a]["layers"], results[b]["layers"])
        losses = relative_difference(np.array(results[a]["losses"]), np.array(results[b]["losses"]))
        pairs.append(
            {
                "backends": [a, b],
                "layers": layers,
                "outputs": max(value for name, value in layers.items() if name.split()[0] == max(layers).split()[0]),
                "gradients": compare_gradients(results[a]["gradients"], results[b]["gradients"]),
                "losses": losses,
            }
        )
    return pairs


def disagreements(pairs: Sequence[Mapping[str, Any]], tolerance: Mapping[str, float]) -> list[str]:
    """Returns a sentence for each pair and kind of result that differs by more than the tolerance.

    Of the layers, the sentence names the first one, in the model's order, that differs: those after it differ
    because of it.

    Args:
        pairs: As `compare_results` returns them.
        tolerance: `{"layers": ..., "gradients": ..., "losses": ...}`.
    """
    sentences = []
    for pair in pairs:
        names = " and ".join(pair["backends"])
        for kind, what in (("layers", "output of layer"), ("gradients", "gradient of")):
            for name, difference in pair[kind].items():
                if difference > tolerance[kind]:
                    label = name.split(" ", 1)[1]
                    sentences.append(
                        f"{names} differ first in the {what} {label}: by {difference:.1e} of the largest "
                        f"value, where {tolerance[kind]:.0e} is allowed."
                    )
                    break
        if pair["losses"] > tolerance["losses"]:
            sentences.append(
                f"{names} differ in the losses of fit: by {pair['losses']:.1e} of the largest, "
                f"where {tolerance['losses']:.0e} is allowed."
            )
    return sentences
