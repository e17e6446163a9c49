"""State space models: the recurrence against loops, transformers' Mamba and VMamba's four directions."""

import functools
import sys

import keras
import numpy as np
import pytest
import scan_loop
from backend_ops import gradients, outputs_and_gradients
from keras import ops
from paths import ROOT

from keras_mambaout.layers import DepthwiseConv2D, SelectiveScan2D, SelectiveSSM, kernels
from keras_mambaout.layers.kernels import state_space_formulas

MAMBA = dict(np.load(ROOT / "tests" / "fixtures" / "transformers_s6.npz"))
VMAMBA = dict(np.load(ROOT / "tests" / "fixtures" / "vmamba_cross_scan.npz"))
SCAN = ("x", "dt", "A", "B", "C")


def of(fixture, prefix):
    """Returns the arrays of a fixture whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): array for name, array in fixture.items() if name.startswith(prefix)}


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * max(1e-6, np.abs(expected).max())


def loop(a, b):
    """`h_t = a_t h_{t-1} + b_t`, in float64."""
    states, state = np.empty(b.shape), np.zeros(b.shape[2:])
    for t in range(b.shape[1]):
        states[:, t] = state = a[:, t].astype("float64") * state + b[:, t]
    return states


def loop_gradients(a, h, grad):
    """Those by `a` and `b`, in float64."""
    later = np.concatenate([a[:, 1:], np.zeros_like(a[:, :1])], axis=1)
    b_grad = loop(later[:, ::-1], grad[:, ::-1])[:, ::-1]
    return b_grad * np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1), b_grad


def also_in_test_all(values):
    return [pytest.param(value, marks=pytest.mark.exhaustive) for value in values]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 17, 257, 3136, *also_in_test_all([2, 3, 15, 16, 49, 255, 256, 12544])])
def test_linear_scan_is_the_loop(length, reverse):
    rng = np.random.RandomState(length)
    shape = (2, length, 3, 2) if length < 1000 else (1, length, 2)
    a, b, factors = rng.uniform(-1, 1, shape), rng.standard_normal(shape), rng.standard_normal(shape)
    a[:, rng.randint(length)] = 0.0
    a, b, factors = (array.astype("float32") for array in (a, b, factors))
    turn = slice(None, None, -1) if reverse else slice(None)
    h = loop(a[:, turn], b[:, turn])
    a_grad, b_grad = (array[:, turn] for array in loop_gradients(a[:, turn], h, factors[:, turn]))
    output, grads = outputs_and_gradients(functools.partial(kernels.linear_scan, reverse=reverse), (a, b), factors)
    assert_close(output, h[:, turn], 1e-5)
    assert_close(grads[0], a_grad, 1e-5)
    assert_close(grads[1], b_grad, 1e-5)


def test_a_tree_of_steps_is_the_same():
    """The formula in `keras.ops`, which JAX takes on accelerators."""
    rng = np.random.RandomState(0)
    a, b = (rng.uniform(-1, 1, (2, 37, 3)).astype("float32") for _ in range(2))
    for reverse in (False, True):
        expected = ops.convert_to_numpy(kernels.linear_scan(ops.array(a), ops.array(b), reverse))
        tree = ops.convert_to_numpy(state_space_formulas.linear_scan(ops.array(a), ops.array(b), reverse))
        assert_close(tree, expected, 1e-5)


def test_long_decays_neither_overflow_nor_vanish():
    """Forms that divide by the product of all decays give NaN here."""
    a = np.full((1, 500, 2), 1e-3, "float32")
    b = np.ones((1, 500, 2), "float32")
    h = ops.convert_to_numpy(kernels.linear_scan(ops.array(a), ops.array(b)))
    np.testing.assert_allclose(h[:, 5:], 1 / (1 - 1e-3), rtol=1e-6)


@pytest.fixture(params=["by steps", "all steps at once"])
def form(request, monkeypatch):
    """Both forms of the selective scan, whatever the size of a step."""
    smallest = 0 if request.param == "by steps" else float("inf")
    monkeypatch.setattr(sys.modules[kernels.selective_scan.__module__], "LARGE_STEP", smallest)
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.mark.parametrize("length", [1, 65, *also_in_test_all([2, 63, 64, 128, 3136, 12544])])
@pytest.mark.parametrize("models", [0, 2])
def test_selective_scan_is_the_loop(models, length, form):
    """The loop is in float64, with differences for gradients; several models side by side are so many scans."""
    rng, side = np.random.RandomState(length), (models,) if models else ()
    x, dt, y_grad = (rng.standard_normal((2, length, *side, 3)) for _ in range(3))
    B, C = (rng.standard_normal((2, length, *side, 2)) for _ in range(2))
    dt, A = 0.1 * np.abs(dt), -rng.uniform(0.5, 4, (*side, 3, 2))
    arrays = [array.astype("float32") for array in (x, dt, A, B, C)]
    y, grads = outputs_and_gradients(kernels.selective_scan, arrays, y_grad.astype("float32"))
    loop_of_scan = functools.partial(scan_loop.scan, D=np.zeros(3))
    for k in range(max(1, models)):

        def of_model(name, values, k=k):
            return np.take(values, k, axis=0 if name == "A" else 2) if models else values

        inputs, gradients = (
            {name: of_model(name, values) for name, values in zip(SCAN, arrays_of_all, strict=True)}
            for arrays_of_all in (arrays, grads)
        )
        scan_loop.check(loop_of_scan, inputs, of_model("y", y), of_model("y", y_grad), gradients, 2e-5)


@pytest.mark.parametrize("length", [1, 100, *also_in_test_all([7, 49])])
@pytest.mark.parametrize("states", [1, 16])
def test_selective_scan_equals_transformers(states, length, form):
    case = of(MAMBA, f"scan/n{states}/l{length}/")
    output, grads = outputs_and_gradients(kernels.selective_scan, [case[name] for name in SCAN], case["g"])
    assert_close(output + case["D"] * case["x"], case["y"], 1e-5)
    for name, grad in zip(SCAN, grads, strict=True):
        expected = case[f"{name}/gradient"]
        assert_close(grad + (case["D"] * case["g"] if name == "x" else 0), expected, 1e-5 if expected.any() else 1)


def s6(case, suffix=""):
    """Returns a layer with the weights of a fixture's layer."""
    rank, states = case["dt_proj.weight"].shape[1], case["A_log"].shape[1]
    layer = SelectiveSSM(states, rank)
    layer.build((None, None, len(case["D"])))
    for weight, value in zip(layer.weights, s6_weights({key: case[key + suffix] for key in NAMES}), strict=True):
        weight.assign(value)
    return layer


NAMES = ("x_proj.weight", "dt_proj.weight", "dt_proj.bias", "A_log", "D")


def s6_weights(case):
    return [case["x_proj.weight"].T, case["dt_proj.weight"].T, case["dt_proj.bias"], case["A_log"], case["D"]]


@pytest.mark.parametrize("states", [1, 16])
def test_layer_equals_that_of_mamba(states):
    case = of(MAMBA, f"layer/n{states}/")
    layer = s6(case)
    assert [weight.path.rpartition("/")[2] for weight in layer.weights] == [
        "x_proj",
        "dt_proj",
        "dt_bias",
        "A_log",
        "D",
    ]

    def function(x, *weights):
        non_trainable = []
        outputs, _ = layer.stateless_call(list(weights), non_trainable, x)
        return outputs

    values = [case["x"], *s6_weights(case)]
    output, grads = outputs_and_gradients(function, values, case["g"])
    assert_close(output, case["y"], 1e-5)
    expected = s6_weights({name: case[f"{name}/gradient"] for name in NAMES})
    for grad, wanted in zip(grads, [case["x/gradient"], *expected], strict=True):
        assert_close(grad, wanted, 2e-5)


@pytest.mark.parametrize("states", [1, 16])
def test_whole_mixer_of_mamba(states):
    """`out_proj(SSM(silu(conv(c))) * silu(z))`, with the layer inside."""
    case = of(MAMBA, f"mixer/n{states}/")
    c, z = np.split(case["x"] @ case["in_proj.weight"].T, 2, axis=-1)
    taps = case["conv1d.weight"][:, 0].T  # (4, C), the last one is of the step itself
    padded = np.pad(c, ((0, 0), (len(taps) - 1, 0), (0, 0)))
    c = sum(padded[:, k : k + c.shape[1]] * tap for k, tap in enumerate(taps)) + case["conv1d.bias"]
    mixed = ops.convert_to_numpy(s6(case)(scan_loop.silu(c).astype("float32")))
    assert_close((mixed * scan_loop.silu(z)) @ case["out_proj.weight"].T, case["y"], 1e-5)


def test_gradients_of_weights(form):
    """As a training has them, on TensorFlow in eager mode; both forms against differences."""
    model = keras.Sequential([keras.Input((70, 3)), SelectiveSSM(2)])
    x, factors = np.random.RandomState(0).standard_normal((2, 2, 70, 3)).astype("float32")
    _, grads = gradients(model, ops.multiply, x, factors)
    values = [ops.convert_to_numpy(weight).astype("float64") for weight in model.trainable_variables]

    def loss(values):
        x_proj, dt_proj, *others = values
        return (scan_loop.layer(x, x_proj.T, dt_proj.T, *others) * factors).mean()

    for k, grad in enumerate(grads.values()):
        direction = np.random.RandomState(k).standard_normal(grad.shape)
        ahead, behind = (loss([*values[:k], values[k] + sign * 1e-6 * direction, *values[k + 1 :]]) for sign in (1, -1))
        assert (grad * direction).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)


def cross_scan(case, rank=2):
    """Returns a layer with the weights of VMamba's four directions."""
    channels, states = case["x"].shape[-1], case["A_logs"].shape[-1]
    layer = SelectiveScan2D(4, states, rank)
    layer.build((None, None, None, channels))
    for weight, value in zip(layer.weights, cross_scan_weights(case, channels), strict=True):
        weight.assign(value)
    return layer


def cross_scan_weights(case, channels, suffix=""):
    names = ("x_proj_weight", "dt_projs_weight", "dt_projs_bias", "A_logs", "Ds")
    x_proj, dt_proj, dt_bias, A_logs, Ds = (case[name + suffix] for name in names)
    A_logs, Ds = A_logs.reshape(4, channels, -1), Ds.reshape(4, channels)
    return [value for k in range(4) for value in (x_proj[k].T, dt_proj[k].T, dt_bias[k], A_logs[k], Ds[k])]


@pytest.mark.parametrize("states", [1, 4])
def test_four_directions_equal_those_of_vmamba(states):
    case = of(VMAMBA, f"n{states}/")
    layer = cross_scan(case)

    def function(x, *weights):
        outputs, _ = layer.stateless_call(list(weights), [], x)
        return outputs

    values = [case["x"], *cross_scan_weights(case, 6)]
    output, grads = outputs_and_gradients(function, values, case["g"])
    assert_close(output, case["y"], 2e-5)
    for grad, wanted in zip(grads, [case["x/gradient"], *cross_scan_weights(case, 6, "/gradient")], strict=True):
        assert_close(grad, wanted, 5e-5)


@pytest.mark.parametrize(("directions", "of_vmamba"), [(1, [0]), (2, [0, 2]), (4, [0, 1, 2, 3])])
def test_order_in_which_pixels_are_read(directions, of_vmamba, monkeypatch):
    """And each is put back where it was."""
    read = []

    def hand_on(model, sequences, *weights):
        read.extend(ops.convert_to_numpy(sequences)[0, :, :, 0].T)
        return sequences

    monkeypatch.setattr(SelectiveSSM, "scan", hand_on)
    image = VMAMBA["order/image"].astype("float32")[None, :, :, None]
    output = ops.convert_to_numpy(SelectiveScan2D(directions)(image))
    np.testing.assert_array_equal(output, directions * image)
    np.testing.assert_array_equal(read, VMAMBA["order/sequences"][of_vmamba])


@pytest.mark.parametrize(
    ("layer", "sees"),
    [
        (functools.partial(DepthwiseConv2D, 3), "around"),
        (functools.partial(DepthwiseConv2D, 3, causal=True), "before"),
        (functools.partial(SelectiveScan2D, 1), "before"),
        (functools.partial(SelectiveScan2D, 2), "all"),
        (functools.partial(SelectiveScan2D, 4), "all"),
    ],
)
def test_which_pixels_a_pixel_sees(layer, sees):
    """By changing one pixel: those that change too are the ones that see it."""
    layer, image = layer(), np.random.RandomState(0).standard_normal((1, 5, 6, 16)).astype("float32")
    before = ops.convert_to_numpy(layer(image))
    changed = image.copy()
    changed[0, 2, 3] += 5.0
    see_it = (np.abs(ops.convert_to_numpy(layer(changed)) - before).max(axis=-1) > 1e-6)[0]
    rows, columns = np.indices((5, 6))
    near = (np.abs(rows - 2) <= 1) & (np.abs(columns - 3) <= 1)
    after = 6 * rows + columns >= 6 * 2 + 3
    expected = {"all": np.ones((5, 6), bool), "around": near, "before": after & near}
    if isinstance(layer, SelectiveScan2D):
        expected["before"] = after
    np.testing.assert_array_equal(see_it, expected[sees])


def test_initial_values_are_those_of_mamba():
    keras.utils.set_random_seed(0)
    layer = SelectiveSSM(4)
    layer.build((None, None, 100))
    x_proj, dt_proj, dt_bias, A_log, D = (ops.convert_to_numpy(weight) for weight in layer.weights)
    assert x_proj.shape == (100, 7 + 2 * 4) and dt_proj.shape == (7, 100)
    assert 0.09 < np.abs(x_proj).max() <= 0.1 and 0.36 < np.abs(dt_proj).max() <= 7**-0.5
    np.testing.assert_allclose(np.exp(A_log), np.broadcast_to([1, 2, 3, 4], (100, 4)), rtol=1e-6)
    dt = np.logaddexp(0, dt_bias.astype("float64"))
    assert 1e-3 < dt.min() < 2e-3 and 0.05 < dt.max() < 0.1 and 0.005 < np.median(dt) < 0.02
    assert (D == 1).all()
    keras.utils.set_random_seed(0)
    again = SelectiveSSM(4)
    again.build((None, None, 100))
    np.testing.assert_array_equal(ops.convert_to_numpy(again.dt_bias), dt_bias)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "mixed_float16"])
def test_low_precision(dtype):
    """Projections are in low precision, the recurrence is in float32: small steps are not lost over 400 pixels."""
    keras.utils.set_random_seed(1)
    exact, x = SelectiveScan2D(2, 4), np.random.RandomState(0).standard_normal((1, 20, 20, 32)).astype("float32")
    expected = ops.convert_to_numpy(exact(x))
    low = SelectiveScan2D(2, 4, dtype=dtype)
    low.build(x.shape)
    low.set_weights(exact.get_weights())
    output = low(x)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(low.models[0].A_log.dtype)} == {"float32"}
    output = ops.convert_to_numpy(ops.cast(output, "float32"))
    assert np.linalg.norm(output - expected) < 0.02 * np.linalg.norm(expected)


def test_images_of_any_size():
    layer = SelectiveScan2D(4)
    model = keras.Sequential([keras.Input((None, None, 4)), layer])
    for size in ((1, 1), (3, 17), (16, 16)):
        assert model(np.ones((2, *size, 4), "float32")).shape == (2, *size, 4)


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SelectiveSSM(0), "`state_dim` must be an integer of 1 or more, got 0"),
        (lambda: SelectiveSSM(1, 0), "`dt_rank` must be an integer of 1 or more, got 0"),
        (lambda: SelectiveScan2D(3), "`directions` must be one of 1, 2, 4, got 3"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
