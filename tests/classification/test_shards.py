"""Batches that several devices or hosts share."""

import keras
import numpy as np
import pytest
from grey_fruit import LABELS, Shift, flat, numbers, read, write_folder

from keras_mambaout.classification import ClassificationDataset
from keras_mambaout.preprocessing.reading import load_image

pytestmark = pytest.mark.no_backend  # `tf.data` makes the same batches for each


@pytest.mark.parametrize("training", [True, False])
def test_shards_divide_each_batch(fruit, training):
    arguments = {"batch_size": 6, "image_size": 2, "training": training, "epochs": (0, 3) if training else None}
    whole = numbers(fruit.batches(**arguments))
    parts = [numbers(fruit.batches(**arguments, shard=(index, 3))) for index in range(3)]
    assert {len(batch) for part in parts for batch in part[:2]} == {2}
    assert len(whole) == (6 if training else 3)
    for index, batch in enumerate(whole):
        together = [number for part in parts for number in (part[index] if index < len(part) else [])]
        assert sorted(together) == sorted(batch)


def test_shards_are_augmented_apart(fruit):
    """The random numbers of an image do not depend on the shard, those of a mixed batch do."""
    arguments = {"batch_size": 6, "image_size": 2, "training": True}
    shifted = {**arguments, "augmentation": Shift(mixing=False)}
    whole = np.concatenate([images for images, _ in read(fruit.batches(**shifted))])
    parts = [read(fruit.batches(**shifted, shard=(index, 2))) for index in range(2)]
    together = np.concatenate([images for part in parts for images, _ in part])
    np.testing.assert_array_equal(np.sort(together[:, 0, 0, 0]), np.sort(whole[:, 0, 0, 0]))
    mixed = {**arguments, "augmentation": Shift(), "label_mode": "categorical"}
    weights = []
    for index, part in enumerate(parts):
        images = part[0][0]
        result = read(fruit.batches(**mixed, shard=(index, 2)))[0][0]
        weights.append((result - images[::-1])[0, 0, 0, 0] / (images - images[::-1])[0, 0, 0, 0])
    assert abs(weights[0] - weights[1]) > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_images_of_other_shards_are_not_read(fruit, monkeypatch, training):
    """In the second of two shards are six of thirteen images."""
    batches = fruit.batches(2, image_size=2, training=training, shard=(1, 2))
    paths = []
    monkeypatch.setattr(
        "keras_mambaout.data.image_files.decode_image", lambda path: paths.append(path) or load_image(path)
    )
    found = flat(batches)
    assert len(found) == 6
    assert sorted(int(path[-6:-4]) for path in paths) == sorted(found)


class MeanColor(keras.Model):
    """Logits that depend on the image's mean colour only, by three fixed numbers."""

    def call(self, images):
        mean = keras.ops.mean(keras.ops.cast(images, "float32"), (1, 2, 3))[:, None] / 40  # (B, 1)
        return keras.ops.concatenate([1.1 - mean, mean - 1, 2 * mean - 4.1], -1)


@pytest.mark.parametrize(("damaged", "label_mode"), [((), "int"), ((3, 9), "categorical")])
def test_weights_make_the_mean_over_images(tmp_path, damaged, label_mode):
    """The mean over the shards of what Keras evaluates is the mean over images; worked out here by hand."""
    write_folder(tmp_path, damaged)
    fruit = ClassificationDataset.from_folder(tmp_path)
    arguments = {"batch_size": 4, "image_size": 2, "label_mode": label_mode, "weighted": True}
    kept = [number for number in range(13) if number not in damaged]
    mean = np.array(kept)[:, None] / 4
    logits = np.concatenate([1.1 - mean, mean - 1, 2 * mean - 4.1], -1)
    labels = np.array(LABELS)[kept]
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(kept)), labels]
    expected = losses.sum() / 13, np.mean(logits.argmax(-1) == labels)

    shards, images = [], 0
    for index in range(2):
        batches = fruit.batches(**arguments, shard=(index, 2))
        assert len(batches) == 4
        for batch in read(batches):
            assert batch[0].shape == (2, 2, 2, 3) and batch[2].dtype == np.float32 and batch[2].shape == (2,)
            assert set(batch[2].tolist()) <= {0.0, float(np.float32(16 / 13))}
            images += int((batch[2] > 0).sum())
        model = MeanColor()
        sparse = "Sparse" if label_mode == "int" else ""
        model.compile(
            loss=getattr(keras.losses, f"{sparse}CategoricalCrossentropy")(from_logits=True),
            weighted_metrics=[getattr(keras.metrics, f"{sparse}CategoricalAccuracy")(name="accuracy")],
        )
        weight = sum(batch[2].sum() for batch in read(batches))
        shards.append((model.evaluate(batches, verbose=0, return_dict=True), weight))
    assert images == len(kept)
    assert np.mean([results["loss"] for results, _ in shards]) == pytest.approx(expected[0], rel=1e-5)
    total = sum(results["accuracy"] * weight for results, weight in shards) / sum(weight for _, weight in shards)
    assert total == pytest.approx(expected[1], rel=1e-5)
