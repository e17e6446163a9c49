"""Saved models: what is written, what a full disk does."""

import keras
import numpy as np
import pytest
import small_model
import trained_model
from trained_model import attached, data, full_disk

from keras_mambaout.training.checkpoints import BestAndLast, CheckpointError


@pytest.fixture(scope="module")
def model():
    return trained_model.shared()


def test_a_full_disk_leaves_the_old_models(model, tmp_path):
    callback = attached(BestAndLast(str(tmp_path)), model)
    callback.on_epoch_end(0, {"val_accuracy": 0.5})
    whole = {name: (tmp_path / name).read_bytes() for name in ("best.keras", "last.keras")}
    with full_disk(100_000), pytest.raises(CheckpointError, match="the one that was there is kept"):
        callback.on_epoch_end(1, {"val_accuracy": 0.6})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_best_is_the_best_and_last_the_last(model, tmp_path):
    callback = attached(BestAndLast(str(tmp_path)), model)
    kernel = model.trainable_variables[0]
    before = kernel.numpy()
    for epoch, accuracy in enumerate([0.3, 0.6, 0.5]):
        kernel.assign(np.full(kernel.shape, epoch, "float32"))
        callback.on_epoch_end(epoch, {"val_accuracy": accuracy})
    kernel.assign(before)
    for name, value in (("best", 1.0), ("last", 2.0)):
        saved = keras.models.load_model(tmp_path / f"{name}.keras", compile=False)
        assert np.all(saved.trainable_variables[0].numpy() == value)


def test_averaged_weights_are_saved_and_the_latest_go_on(model, tmp_path):
    model.train_on_batch(*data())
    before = small_model.values(model)
    ema = attached(keras.callbacks.SwapEMAWeights(), model)
    attached(BestAndLast(str(tmp_path), ema=ema), model).on_epoch_end(0, {})
    assert all(np.allclose(a.numpy(), b, atol=1e-6) for a, b in zip(model.weights, before, strict=True))
    saved = keras.models.load_model(tmp_path / "last.keras", compile=False)
    pairs = zip(saved.trainable_variables, model.trainable_variables, strict=True)
    assert max(np.abs(average.numpy() - latest.numpy()).max() for average, latest in pairs) > 1e-4
