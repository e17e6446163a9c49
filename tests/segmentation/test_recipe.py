"""The recipe for UperNet: its learning rates and batches, and a run by it."""

import csv
import dataclasses
import os

import keras
import numpy as np
import pytest
import small_segmenter as scenes

from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation import (
    SegmentationAugmentation,
    SegmentationDataset,
    SegmentationMeanIoU,
    SemanticSegmentationRecipe,
    evaluate_segmenter,
)
from keras_mambaout.training import train

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
    assert (schedule.schedule.decay_steps, schedule.steps) == (50, 5)
    assert float(schedule(25)) == pytest.approx(5e-5) and float(schedule(50)) == 0.0


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"epochs": 0}, "`epochs`"),
        ({"iterations": 1.5}, "`iterations`"),
        ({"power": 0}, "`power`"),
        ({"crop_size": 0}, "`crop_size`"),
        ({"longest_edge": 100}, "`longest_edge` must be at least `shortest_edge`"),
    ],
)
def test_numbers_are_checked(numbers, message):
    with pytest.raises(ValueError, match=message):
        SemanticSegmentationRecipe(**numbers)


@pytest.mark.no_backend
@pytest.mark.parametrize("numbers", [{"scale_range": (2, 1)}, {"cat_max_ratio": 2}])
def test_the_augmentation_is_nested_and_checks_its_numbers(numbers):
    with pytest.raises(ValueError, match=f"`{next(iter(numbers))}`"):
        SemanticSegmentationRecipe(augmentation=SegmentationAugmentation(**numbers))
    settings = dataclasses.asdict(SemanticSegmentationRecipe())
    assert settings["augmentation"] == dataclasses.asdict(SegmentationAugmentation())


@pytest.mark.no_backend
def test_accumulate_is_checked():
    with pytest.raises(ValueError, match="`accumulate` must be an integer of 1 or more, got 0"):
        SemanticSegmentationRecipe().schedule(10, accumulate=0)


@pytest.mark.no_backend
def test_an_epoch_is_a_function_of_seed_and_number(data):
    recipe = SemanticSegmentationRecipe(**SMALL)
    whole = list(recipe.batches(data, 2, seed=1, epochs=(0, 3)).as_numpy_iterator())
    rest = list(recipe.batches(data, 2, seed=1, epochs=(1, 3)).as_numpy_iterator())
    assert len(whole) == 3 * data.steps_per_epoch(2) == 6
    for expected, batch in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(batch[0], expected[0])
    (images, _), *_ = recipe.batches(data, 2, seed=1, shard=(1, 2)).as_numpy_iterator()
    np.testing.assert_array_equal(images, whole[0][0][1:])


@pytest.mark.first_on("torch")
def test_a_run(data, tmp_path):
    """Two epochs, with the metrics of ADE20K after each, which the recipe brings."""
    recipe, output = SemanticSegmentationRecipe(**SMALL), tmp_path / "run"
    model = scenes.create(num_classes=3)
    history = train(model, recipe, data, data, output)
    assert {"best.keras", "last.keras", "history.csv", "settings.json", "classes.txt"} <= set(os.listdir(output))
    assert (output / "classes.txt").read_text().split() == ["red", "green", "blue"]
    with open(output / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"loss", "class_loss", "auxiliary_loss", "accuracy"}
    assert names | {f"val_{name}" for name in (*names, "mIoU", "pixel_accuracy")} <= set(rows[0])
    assert [float(row["val_mIoU"]) for row in rows] == pytest.approx(history["val_mIoU"])
    assert load_model(output / "last.keras").num_classes == 3


@pytest.mark.first_on("torch")
def test_a_callback_of_the_user_takes_the_place_of_the_recipes(data, tmp_path):
    """Measured every second epoch, only there, and of the averaged weights, which are saved."""
    recipe = SemanticSegmentationRecipe(**{**SMALL, "epochs": 3}, ema_momentum=0.9)
    model, output = scenes.create(num_classes=3), tmp_path / "run"
    callback = SegmentationMeanIoU(data, every=2, crop_size=32, stride=32, shortest_edge=40)
    history = train(model, recipe, data, data, output, callbacks=[callback])
    assert [np.isfinite(value) for value in history["val_mIoU"]] == [False, True, False]
    with open(output / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val_mIoU"] for row in rows] == ["NA", str(history["val_mIoU"][1]), "NA"]
    best = load_model(output / "best.keras")
    metrics = evaluate_segmenter(best, data, crop_size=32, stride=32, shortest_edge=40)
    assert metrics["mIoU"] == pytest.approx(history["val_mIoU"][1], abs=1e-6)


@pytest.mark.first_on("torch")
def test_unreadable_images_are_left_out_or_end_the_run(data, tmp_path):
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    recipe, model = SemanticSegmentationRecipe(**{**SMALL, "epochs": 1}), scenes.create(num_classes=3)
    history = train(model, recipe, data, output=tmp_path / "run")
    assert len(history["loss"]) == 1 and [os.path.basename(path) for path in data.unreadable] == ["1.png"]
    with pytest.raises(ValueError, match=r"Unreadable images, with which a strict run ends: .*1\.png"):
        train(model, recipe, data, output=tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict" / "last.keras").exists()


def test_classes_must_be_the_models(data, tmp_path):
    with pytest.raises(ValueError, match="The model has 4 classes, the training images have 3"):
        train(scenes.create(), SemanticSegmentationRecipe(**SMALL), data, output=tmp_path / "run")
