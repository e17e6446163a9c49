"""The recipe for UperNet: its learning rates and batches, and a run by it."""

import csv
import dataclasses
import os

import keras
import numpy as np
import pytest
import small_segmenter as scenes

from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation import SegmentationDataset, SegmentationMeanIoU, SemanticSegmentationRecipe
from keras_mambaout.training import WarmupPolynomial, train
from keras_mambaout.training.distribution import Devices

STEPS_OF_ADE20K = 1263  # 20,210 images, 16 at a time
SMALL = {"epochs": 2, "batch_size": 2, "crop_size": 32, "shortest_edge": 40, "base_learning_rate": 1e-2}


@pytest.fixture
def data(tmp_path):
    return SegmentationDataset.from_folder(*scenes.write(tmp_path))


def test_the_papers_learning_rates():
    recipe = SemanticSegmentationRecipe.paper("mambaout_tiny")
    schedule = recipe.schedule(STEPS_OF_ADE20K)
    expected = {0: 1e-10, 750: 5e-5, 1500: 1e-4 * (1 - 1500 / 160_000), 40_000: 7.5e-5, 80_000: 5e-5, 159_999: 6.25e-10}
    expected |= {160_000: 0.0, 127 * STEPS_OF_ADE20K: 0.0}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-4, abs=1e-12), step
    assert recipe.drop_path_rate == 0.3 and SemanticSegmentationRecipe.paper("mambaout_base").drop_path_rate == 0.6
    accumulating = dataclasses.replace(recipe, batch_size=32).schedule(2 * STEPS_OF_ADE20K, accumulate=4)
    assert float(accumulating(4 * 40_101)) == pytest.approx(1e-4, rel=1e-2)  # half of 127 * 1263 / 2 updates
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(accumulating))
    assert float(again(2000)) == float(accumulating(2000))


def test_few_images_have_a_schedule_of_their_own():
    schedule = SemanticSegmentationRecipe(epochs=10).schedule(5)
    assert (schedule.total_steps, schedule.warmup_steps) == (50, 5)
    assert float(schedule(25)) == pytest.approx(5e-5) and float(schedule(50)) == 0.0


def test_power():
    schedule = WarmupPolynomial(2.0, total_steps=100, power=0.9, end=1.0)
    assert float(schedule(0)) == pytest.approx(2.0)
    assert float(schedule(75)) == pytest.approx(1.0 + 0.25**0.9, rel=1e-5)
    with pytest.raises(ValueError, match="`total_steps` must be 1 or more"):
        WarmupPolynomial(1.0, total_steps=10, warmup_steps=11)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"epochs": 0}, "`epochs`"),
        ({"iterations": 1.5}, "`iterations`"),
        ({"power": 0}, "`power`"),
        ({"scale_range": (2, 1)}, "`scale_range`"),
        ({"cat_max_ratio": 2}, "`cat_max_ratio`"),
        ({"longest_edge": 100}, "`longest_edge` must be at least `shortest_edge`"),
    ],
)
def test_numbers_are_checked(numbers, message):
    with pytest.raises(ValueError, match=message):
        SemanticSegmentationRecipe(**numbers)


def test_an_epoch_is_a_function_of_seed_and_number(data):
    recipe = SemanticSegmentationRecipe(**SMALL)
    whole = list(recipe.batches(data, 2, seed=1, epochs=(0, 3)).as_numpy_iterator())
    rest = list(recipe.batches(data, 2, seed=1, epochs=(1, 3)).as_numpy_iterator())
    assert len(whole) == 3 * data.steps_per_epoch(2) == 6
    for expected, batch in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(batch[0], expected[0])
    (images, _), *_ = recipe.batches(data, 2, seed=1, shard=(1, 2)).as_numpy_iterator()
    np.testing.assert_array_equal(images, whole[0][0][1:])


def test_a_run(data, tmp_path):
    """Two epochs, with the metrics of ADE20K after each."""
    recipe, output = SemanticSegmentationRecipe(**SMALL), tmp_path / "run"
    model = scenes.create(num_classes=3)
    callback = SegmentationMeanIoU(data, crop_size=32, stride=32, shortest_edge=40)
    history = train(model, recipe, data, data, output, callbacks=[callback])
    assert {"best.keras", "last.keras", "history.csv", "settings.json", "classes.txt"} <= set(os.listdir(output))
    assert (output / "classes.txt").read_text().split() == ["red", "green", "blue"]
    with open(output / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"loss", "class_loss", "auxiliary_loss", "accuracy"}
    assert names | {f"val_{name}" for name in (*names, "mIoU", "pixel_accuracy")} <= set(rows[0])
    assert [float(row["val_mIoU"]) for row in rows] == pytest.approx(history["val_mIoU"])
    assert load_model(output / "last.keras").num_classes == 3


def test_one_device(data):
    with pytest.raises(ValueError, match="SemanticSegmentationRecipe trains on one device, got 2"):
        train(scenes.create(num_classes=3), SemanticSegmentationRecipe(), data, devices=Devices(replicas=2))


def test_classes_must_be_the_models(data, tmp_path):
    with pytest.raises(ValueError, match="The model has 4 classes, the training images have 3"):
        train(scenes.create(), SemanticSegmentationRecipe(**SMALL), data, output=tmp_path / "run")
