"""Numbers equal timm's: logits, every stage, gradients and parameter counts."""

import backend_ops
import keras
import numpy as np
import pytest
import seeded

import keras_mambaout
from keras_mambaout.config import VARIANTS
from keras_mambaout.weights import name_map

pytestmark = pytest.mark.usefixtures("optimized")
PARAMETERS = {
    "mambaout_femto": 7_304_536,
    "mambaout_kobe": 9_141_208,
    "mambaout_tiny": 26_545_096,
    "mambaout_small": 48_488_072,
    "mambaout_base": 84_813_092,
    "mambaout_small_rw": 48_495_560,
    "mambaout_base_short_rw": 88_827_688,
    "mambaout_base_tall_rw": 86_481_448,
    "mambaout_base_wide_rw": 94_448_104,
    "mambaout_base_plus_rw": 101_656_552,
    "mambaout_test": 447_560,
}


def relative_error(value, reference):
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


# one of each kind: the paper's, the most different rw model, and the smallest, which other tests use
ON_TWO = pytest.mark.first_on("tensorflow", "torch")  # JAX compiles each for minutes
MARKS = {"mambaout_femto": ON_TWO, "mambaout_base_wide_rw": ON_TWO, "mambaout_test": ()}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=MARKS.get(name, pytest.mark.exhaustive)) for name in VARIANTS],
)
def seeded_model(request, seeded_file):
    """A variant with seeded values in every tensor, one at a time, and a model of all it computes."""
    keras.backend.clear_session()
    model = keras_mambaout.create_model(
        request.param,
        weights=seeded_file(request.param),
        include_preprocessing=False,
        classifier_activation=None,
    )
    outputs = {f"stage{s}": f for s, f in enumerate(model.backbone.pyramid_outputs.values())}
    outputs |= {"logits": model.output, "embedding": model.embedding_model().output}
    yield request.param, model, keras.Model(model.input, outputs)


def test_parameter_count(seeded_model):
    variant, model, _ = seeded_model
    assert model.count_params() == PARAMETERS[variant] == VARIANTS[variant].count_parameters()


def test_outputs_equal_timm(seeded_model, timm_models):
    variant, _, everything = seeded_model
    sizes = {key.split("/")[1] for key in timm_models if key.startswith(f"{variant}/") and key.endswith("logits")}
    assert "64x64" in sizes
    for size in sizes:
        height, width = map(int, size.split("x"))
        outputs = everything(seeded.images(1, height, width), training=False)
        outputs = {name: keras.ops.convert_to_numpy(output) for name, output in outputs.items()}
        reference = {name: timm_models[f"{variant}/{size}/{name}"] for name in outputs}
        assert relative_error(outputs["logits"][0], reference["logits"]) <= 1e-4
        assert outputs["embedding"].shape == (1, 4 * VARIANTS[variant].dims[-1])
        assert relative_error(seeded.sample(outputs["embedding"], 512), reference["embedding"]) <= 1e-4
        for name in ("stage0", "stage1", "stage2", "stage3"):
            assert relative_error(seeded.sample(outputs[name]), reference[name]) <= 1e-4, (name, size)
            norm = np.linalg.norm(outputs[name].astype("float64"))
            assert norm == pytest.approx(timm_models[f"{variant}/{size}/{name}/norm"], rel=1e-5)


def test_every_published_name_is_a_variable(seeded_model, timm_shapes):
    variant, model, _ = seeded_model
    assert {name_map.published_name(v.path)[0] for v in model.weights} == set(timm_shapes[variant])


def test_gradients_equal_timm(seeded_file, timm_gradients):
    model = keras_mambaout.create_model(
        "mambaout_test",
        weights=seeded_file("mambaout_test"),
        include_preprocessing=False,
        classifier_activation=None,
    )
    loss, gradients = backend_ops.gradients(
        model,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None),
        keras.ops.convert_to_tensor(seeded.images(2, 64, 64)),
        keras.ops.convert_to_tensor([3, 7]),
    )
    assert loss == pytest.approx(float(timm_gradients["loss"]), rel=1e-5)
    assert len(gradients) == len(model.weights)
    for path, gradient in gradients.items():
        name, axes = name_map.published_name(path)
        assert gradient is not None and np.any(gradient != 0), path
        gradient = gradient if axes is None else gradient.transpose(np.argsort(axes))
        assert relative_error(seeded.sample(gradient, 512), timm_gradients[name]) <= 1e-3, path
        assert np.linalg.norm(gradient) == pytest.approx(float(timm_gradients[f"{name}/norm"]), rel=1e-3), path
