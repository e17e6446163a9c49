"""The package's AdamW against that of Keras."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.training import AdamW

SHAPES = ((3, 4), (4,), (2, 2, 3), (5,))
STEPS = 4
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
if keras.backend.backend() == "tensorflow":  # its kernel computes `1 - beta_2` in float32, 1.3e-5 less than 0.001
    TOLERANCE = {"rtol": 3e-5, "atol": 5e-6}


def updated(optimizer, dtype="float32", layout=lambda grad: grad):
    """Returns variables, and their moving averages, after some steps on drawn gradients; the last has none."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape), dtype=dtype, name=f"v{len(shape)}") for shape in SHAPES]
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) < 2])
    optimizer.build(variables)
    for _ in range(STEPS):
        grads = [layout(ops.convert_to_tensor(rng.normal(size=shape), dtype)) for shape in SHAPES[:-1]]
        optimizer.apply([*grads, None], variables)
    return [ops.convert_to_numpy(ops.cast(variable, "float32")) for variable in (*variables, *optimizer.variables)]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epsilon": 1e-3},
        {"amsgrad": True},
        {"global_clipnorm": 0.5},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5},
        {"learning_rate": keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.01)},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_updates_are_those_of_keras(options):
    options = {"learning_rate": 0.1, "weight_decay": 0.5, "epsilon": 1e-8, **options}
    for value, expected in zip(updated(AdamW(**options)), updated(keras.optimizers.AdamW(**options)), strict=True):
        np.testing.assert_allclose(value, expected, **TOLERANCE)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        ("float64", ops.copy),
        ("bfloat16", ops.copy),
        ("float32", lambda grad: ops.transpose(ops.copy(ops.transpose(grad)))),
    ],
    ids=["float64", "bfloat16", "transposed"],
)
def test_other_dtypes_and_layouts(dtype, layout):
    results = [
        updated(cls(0.1, weight_decay=0.5, epsilon=1e-8), dtype, layout) for cls in (AdamW, keras.optimizers.AdamW)
    ]
    for value, expected in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=3e-2 if dtype == "bfloat16" else TOLERANCE["rtol"], atol=1e-2)
