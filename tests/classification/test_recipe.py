"""The recipe's numbers equal timm's: learning rates, decayed weights, and ten steps of training."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import seeded
from training_settings import PAPER_STEPS_PER_EPOCH, SCHEDULE_STEPS, TEN_STEPS

import keras_mambaout
from keras_mambaout.classification import ClassificationRecipe
from keras_mambaout.training import AdamW
from keras_mambaout.weights import name_map

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def timm():
    return dict(np.load(ROOT / "fixtures" / "timm_training.npz"))


def test_learning_rates_equal_timm(timm):
    schedule = ClassificationRecipe.paper("mambaout_tiny").schedule(PAPER_STEPS_PER_EPOCH)
    rates = [float(schedule(step)) for step in SCHEDULE_STEPS]
    np.testing.assert_allclose(rates, timm["schedule"], rtol=1e-5)


@pytest.mark.parametrize(
    "variant", ["mambaout_test", pytest.param("mambaout_femto", marks=pytest.mark.first_on("torch"))]
)
@pytest.mark.first_on("torch")
def test_decayed_weights_are_those_of_timm(timm, variant):
    model = keras_mambaout.create_model(variant, weights=None)
    optimizer = AdamW()
    optimizer.build(model.trainable_variables)
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    optimizer.learning_rate, optimizer.weight_decay = 1.0, 0.5
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in model.trainable_variables])
    decayed = {v.path for v in model.trainable_variables if np.abs(v.numpy()).sum() < np.abs(before[v.path]).sum()}
    assert {name_map.published_name(path)[0] for path in decayed} == set(json.loads(str(timm[f"decayed/{variant}"])))


@pytest.fixture(scope="module")
def trained(seeded_file):
    """The test variant with seeded weights after ten steps, and the loss of the first."""
    s = TEN_STEPS
    model = keras_mambaout.create_model(
        "mambaout_test", weights=seeded_file("mambaout_test"), include_preprocessing=False, classifier_activation=None
    )
    recipe = ClassificationRecipe(
        epochs=1,
        batch_size=s["batch"],
        base_batch_size=s["batch"],
        base_learning_rate=s["peak"],
        warmup_epochs=s["warmup"] / s["steps"],
        warmup_learning_rate=s["start"],
        min_learning_rate=s["end"],
        weight_decay=s["weight_decay"],
        label_smoothing=s["smoothing"],
    )
    recipe.compile(model, s["steps"])
    images = seeded.images(s["steps"] * s["batch"], s["side"], s["side"])
    labels = np.eye(1000, dtype="float32")[: len(images)]
    means = []
    losses = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: means.append(logs["loss"]))
    model.fit(images, labels, batch_size=s["batch"], shuffle=False, verbose=0, callbacks=[losses])
    return model, np.array(means)


def test_ten_steps_equal_those_of_pytorch(timm, trained):
    model, means = trained
    losses = timm["losses"]
    np.testing.assert_allclose(means, np.cumsum(losses) / np.arange(1, 11), rtol=1e-4)  # Keras logs running means
    for variable in model.trainable_variables:
        name, axes = name_map.published_name(variable.path)
        value = variable.numpy() if axes is None else variable.numpy().transpose(np.argsort(axes))
        np.testing.assert_allclose(seeded.sample(value, 512), timm[f"after/{name}"], atol=1e-4, rtol=0, err_msg=name)


def small_recipe(**changes):
    numbers = {"epochs": 2, "batch_size": 4, "base_batch_size": 4, "base_learning_rate": 1e-2, "warmup_epochs": 0}
    return ClassificationRecipe(**{**numbers, **changes})


def tiny_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2, activation="softmax")])


def fit(model, batch_size):
    x = np.random.RandomState(0).standard_normal((8, 3)).astype("float32")
    y = np.eye(2, dtype="float32")[np.arange(8) % 2]
    model.fit(x, y, batch_size, shuffle=False, verbose=0)


def test_accumulated_batches_are_one_batch():
    whole, parts = tiny_model(), tiny_model()
    small_recipe(clip_norm=0.5, warmup_epochs=1).compile(whole, 2)
    small_recipe(clip_norm=0.5, warmup_epochs=1).compile(parts, 4, accumulate=2)
    rates = [[float(m.optimizer.learning_rate) for m in (whole, parts)]]
    for _ in range(2):
        fit(whole, 4)
        fit(parts, 2)
        rates.append([float(m.optimizer.learning_rate) for m in (whole, parts)])
    assert rates[0][0] < rates[1][0] > rates[2][0]
    np.testing.assert_allclose(*np.transpose(rates), rtol=1e-6)
    for expected, value in zip(whole.weights, parts.weights, strict=True):
        np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-5)


def test_averages_decay_as_fast_with_accumulated_batches():
    models = tiny_model(), tiny_model()
    for accumulate, model in enumerate(models, start=1):
        small_recipe(ema_momentum=0.9).compile(model, 2 * accumulate, accumulate)
    whole, parts = (model.optimizer.ema_momentum for model in models)
    assert parts**2 == pytest.approx(whole) == 0.9


def test_the_learning_rate_follows_the_batch_size():
    paper = ClassificationRecipe.paper("mambaout_femto")
    assert paper.learning_rate == 4e-3 and paper.drop_path_rate == 0.025
    assert dataclasses.replace(paper, batch_size=1024).learning_rate == 1e-3
    schedule = dataclasses.replace(paper, batch_size=2).schedule(10)
    assert float(schedule(0)) <= schedule.peak, "the warm-up starts no higher than it ends"


def test_a_loaded_model_decays_the_same_weights(tmp_path):
    model = tiny_model()
    small_recipe().compile(model, 2)
    fit(model, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, AdamW)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    fit(model, 4)
    fit(loaded, 4)
    for expected, value in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.no_backend
@pytest.mark.parametrize("variant", list(keras_mambaout.list_models()))
def test_recipes_of_all_models(variant):
    assert ClassificationRecipe.paper(variant).augmentation.mixup == 0.8
    finetune = ClassificationRecipe.finetune(variant)
    assert finetune.drop_path_rate == ClassificationRecipe.paper(variant).drop_path_rate / 2
    assert finetune.augmentation.mixup == finetune.augmentation.cutmix == 0


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"epochs": 0}, "`epochs` must be an integer of 1 or more, got 0"),
        ({"batch_size": 2.5}, "`batch_size` must be an integer"),
        ({"warmup_epochs": 301}, r"`warmup_epochs` must be a number from 0 to 300, got 301"),
        ({"base_learning_rate": -1.0}, "`base_learning_rate` must be a number above 0"),
        ({"weight_decay": "no"}, "`weight_decay` must be a number of 0 or more, got 'no'"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be a number at least 0 and below 1"),
        ({"ema_momentum": 2}, "`ema_momentum`"),
        ({"clip_norm": 0}, "`clip_norm` must be a number above 0"),
    ],
)
def test_errors(changes, match):
    with pytest.raises(ValueError, match=match):
        ClassificationRecipe(**changes)


@pytest.mark.no_backend
def test_schedule_errors():
    with pytest.raises(ValueError, match="`variant` must be one of"):
        ClassificationRecipe.paper("resnet50")
    with pytest.raises(ValueError, match="`steps_per_epoch` must be an integer of 1 or more, got 0"):
        ClassificationRecipe().schedule(0)
    with pytest.raises(ValueError, match="`accumulate` must be an integer of 1 or more, got 0"):
        ClassificationRecipe().schedule(10, accumulate=0)
    with pytest.raises(ValueError, match=r"`accumulate` must be an integer of 1 or more, got 2\.0"):
        ClassificationRecipe().step_batch_size(accumulate=2.0)
