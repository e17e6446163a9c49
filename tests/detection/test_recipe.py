"""The recipe for Mask R-CNN: its learning rates and batches, and a run by it."""

import dataclasses
import json
import os

import keras
import numpy as np
import pytest
import white

from keras_mambaout.detection import CocoDataset, InstanceSegmentationRecipe, mask_rcnn
from keras_mambaout.training import train

SMALL = {"channels": 8, "proposals": 10, "box_samples": 8, "max_detections": 5}
STEPS_OF_COCO = 7329  # 117,266 images with objects, 16 at a time


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The arguments of `CocoDataset.from_json` for four images."""
    return white.write(tmp_path_factory.mktemp("white"))


def test_the_papers_learning_rates():
    recipe = InstanceSegmentationRecipe.paper("mambaout_tiny")
    schedule = recipe.schedule(STEPS_OF_COCO)
    expected = {0: 1e-7, 500: (1e-7 + 1e-4) / 2, 1000: 1e-4, 50_000: 1e-4}
    expected |= {8 * STEPS_OF_COCO - 1: 1e-4, 8 * STEPS_OF_COCO: 1e-5, 11 * STEPS_OF_COCO: 1e-6}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-5), step
    assert recipe.drop_path_rate == 0.3 and InstanceSegmentationRecipe.paper("mambaout_base").drop_path_rate == 0.6
    accumulating = dataclasses.replace(recipe, batch_size=32).schedule(STEPS_OF_COCO, accumulate=4)
    assert float(accumulating(4 * 1000)) == pytest.approx(2e-4) and float(accumulating(8 * STEPS_OF_COCO)) < 3e-5
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(accumulating))
    assert float(again(2000)) == float(accumulating(2000))


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"epochs": 0}, "`epochs`"),
        ({"milestones": (8, -1)}, "`milestones`"),
        ({"flip": 2}, "`flip`"),
        ({"mask_size": None}, "`mask_size`"),
        ({"longest_edge": 700}, "`longest_edge` must be at least `shortest_edge`"),
        ({"multi_scale": (480, 1400)}, "`multi_scale` must be a tuple of short sides"),
        ({"multi_scale": (480, 800), "image_size": 640}, "leave one of them out"),
    ],
)
def test_numbers_are_checked(numbers, message):
    with pytest.raises(ValueError, match=message):
        InstanceSegmentationRecipe(**numbers)


@pytest.mark.no_backend
def test_several_scales_are_for_training_only():
    recipe = InstanceSegmentationRecipe(multi_scale=[480, 800])
    assert recipe.training_options["multi_scale"] == recipe.multi_scale == (480, 800)
    assert "multi_scale" not in {**recipe.validation_options, **recipe.resizing}
    assert recipe.resizing["shortest_edge"] == 800
    assert InstanceSegmentationRecipe.paper("mambaout_tiny").multi_scale is None


@pytest.mark.no_backend
def test_accumulate_is_checked():
    with pytest.raises(ValueError, match="`accumulate` must be an integer of 1 or more, got 0"):
        InstanceSegmentationRecipe().schedule(10, accumulate=0)
    with pytest.raises(ValueError, match="`accumulate` must be an integer of 1 or more, got 0"):
        train(None, InstanceSegmentationRecipe(), None, accumulate=0)


@pytest.mark.no_backend
def test_an_epoch_is_a_function_of_seed_and_number(files):
    data = CocoDataset.from_json(*files)
    recipe = InstanceSegmentationRecipe(image_size=32, mask_size=14, max_boxes=2)

    def epochs(first, stop):
        batches = recipe.batches(data, 2, seed=1, epochs=(first, stop)).as_numpy_iterator()
        return [inputs["images"] for inputs, _ in batches]

    whole, rest = epochs(0, 3), epochs(1, 3)
    assert len(whole) == 3 * data.steps_per_epoch(2) == 6
    for expected, images in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(images, expected)
    assert any((a != b).any() for a, b in zip(whole[:2], whole[2:4], strict=True))


@pytest.mark.first_on("torch")
def test_a_run(files, tmp_path):
    """The recipe brings the AP that the best model is chosen by; the losses are those of the validation images too."""
    data = CocoDataset.from_json(*files)
    recipe = InstanceSegmentationRecipe(epochs=1, batch_size=2, image_size=64, mask_size=14, max_boxes=2)
    model = mask_rcnn("mambaout_test", data.num_classes, weights=None, **SMALL)
    history = train(model, recipe, data, data, tmp_path / "run")
    assert {"best.keras", "last.keras", "history.csv"} <= set(os.listdir(tmp_path / "run"))
    assert {"loss", "mask_loss", "val_loss", "val_mask_loss", "val_bbox_AP50", "val_segm_AP"} <= set(history)
    assert len(history["val_segm_AP"]) == 1 and np.isfinite(history["val_segm_AP"]).all()


@pytest.mark.first_on("torch")
def test_unreadable_images_are_left_out_or_end_the_run(tmp_path):
    """One is cut off, one was deleted: in training, in validation, and in the AP measured after an epoch."""
    files = white.write(tmp_path)
    data, val_data = CocoDataset.from_json(*files), CocoDataset.from_json(*files)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "2.png").unlink()
    recipe = InstanceSegmentationRecipe(epochs=1, batch_size=2, image_size=64, mask_size=14, max_boxes=2)
    model = mask_rcnn("mambaout_test", data.num_classes, weights=None, **SMALL)
    history = train(model, recipe, data, val_data, tmp_path / "run")
    assert len(history["val_segm_AP"]) == 1 and np.isfinite(history["val_loss"]).all()
    for part in (data, val_data):
        assert [os.path.basename(path) for path in part.unreadable] == ["1.png", "2.png"]
    data = CocoDataset.from_json(*files)
    with pytest.raises(ValueError, match=r"Unreadable images, with which a strict run ends: .*\.png"):
        train(model, recipe, data, output=tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict" / "last.keras").exists()


@pytest.mark.first_on("torch")
def test_labels_that_cannot_be_evaluated_end_a_run_before_it_begins(tmp_path):
    """A crowd without a mask: there is nothing to compare masks with."""
    path, images = white.write(tmp_path)
    content = json.loads(path.read_text())
    crowd = {**content["annotations"][0], "id": 9, "iscrowd": 1, "segmentation": []}
    path.write_text(json.dumps({**content, "annotations": [*content["annotations"], crowd]}))
    data = CocoDataset.from_json(path, images)
    recipe = InstanceSegmentationRecipe(epochs=1, batch_size=2, image_size=64, mask_size=14, max_boxes=2)
    model = mask_rcnn("mambaout_test", data.num_classes, weights=None, **SMALL)
    with pytest.raises(ValueError, match="'segm' needs 'segmentation'; 1 of 5 ground truth have none"):
        train(model, recipe, data, data, tmp_path / "run")
    assert int(model.optimizer.iterations) == 0
