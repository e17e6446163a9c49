"""The warm-up before Keras' schedules: numbers, files of older versions, and what is refused."""

import keras
import numpy as np
import pytest
from keras.optimizers.schedules import CosineDecay, PolynomialDecay, deserialize, serialize

from keras_mambaout.training import Warmup
from keras_mambaout.training.schedule import cosine, milestones, polynomial

OLD = {  # the classes of older files: their own numbers, and their learning rate after the warm-up
    "WarmupCosine": (
        {"total_steps": 100, "end": 1e-5},
        lambda t: 1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi * np.minimum(t / 100, 1))) / 2,
    ),
    "WarmupSteps": (
        {"milestones": [40, 80], "factor": 0.1},
        lambda t: 1e-3 * 0.1 ** ((t >= 40).astype(int) + (t >= 80)),
    ),
    "WarmupPolynomial": (
        {"total_steps": 100, "power": 0.9, "end": 0.0},
        lambda t: 1e-3 * (np.maximum(100 - t, 0) / 100) ** 0.9,
    ),
}


@pytest.mark.parametrize("class_name", OLD)
def test_older_files_go_on_with_their_learning_rates(class_name):
    numbers, after = OLD[class_name]
    config = {"peak": 1e-3, "warmup_steps": 10, "warmup_start": 1e-6, "accumulate": 2, "name": "old", **numbers}
    schedule = deserialize(
        {
            "module": "keras_mambaout.training.schedule",
            "class_name": class_name,
            "config": config,
            "registered_name": f"keras_mambaout>{class_name}",
        }
    )
    assert type(schedule) is Warmup
    batches = np.array([0, 1, 2, 10, 19, 20, 21, 60, 79, 80, 81, 159, 160, 161, 190, 200, 230])
    updates = batches // 2
    rising = 1e-6 + (1e-3 - 1e-6) * updates / 10
    rates = [float(schedule(step)) for step in batches.tolist()]
    np.testing.assert_allclose(rates, np.where(updates < 10, rising, after(updates)), rtol=1e-5, atol=1e-11)
    again = deserialize(serialize(schedule))
    assert [float(again(step)) for step in batches.tolist()] == rates


def test_a_step_may_be_a_tensor():
    schedule = Warmup(cosine(1.0, 100, 0.1), 10, 0.0, accumulate=4)
    for step in (20, 240):
        assert float(schedule(keras.ops.convert_to_tensor(step, "int32"))) == float(schedule(step))


def test_polynomial():
    schedule = Warmup(polynomial(2.0, 100, power=0.9, end=1.0))
    assert float(schedule(0)) == pytest.approx(2.0)
    assert float(schedule(75)) == pytest.approx(1.0 + 0.25**0.9, rel=1e-5)


@pytest.mark.parametrize("updates", [(), (3,), (3, 3), (5, 3)])
def test_milestones(updates):
    schedule = milestones(1.0, updates)
    for step in range(8):
        assert float(schedule(step)) == pytest.approx(0.1 ** sum(step >= update for update in updates))


def test_errors():
    with pytest.raises(ValueError, match="`steps` must be a number from 0 to 5, got 6"):
        Warmup(CosineDecay(1e-3, 5), steps=6)
    with pytest.raises(ValueError, match="`steps` must be a number from 0 to 10, got -1"):
        Warmup(PolynomialDecay(1.0, 10), steps=-1)
    with pytest.raises(ValueError, match="`decay_steps` must be > 0"):
        Warmup(polynomial(1e-3, 0))
    with pytest.raises(ValueError, match="`accumulate` must be an integer of 1 or more, got 0"):
        Warmup(CosineDecay(1e-3, 5), accumulate=0)
