"""Checkpoints: what is written, what a full disk and a wrong file do."""

import contextlib
import os
import resource

import keras
import numpy as np
import pytest
import small_model

from keras_mambaout.training.checkpoints import Backup, BestAndLast, CheckpointError


@pytest.fixture(scope="module")
def model():
    """A small model after a step with AdamW, so that its optimizer has a state."""
    model = small_model.create(classes=3, drop_path_rate=0.1)
    compile_(model)
    model.train_on_batch(*data())
    return model


def compile_(model):
    model.compile(keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5), "sparse_categorical_crossentropy")


def data():
    return np.full((4, 32, 32, 3), 100.0, "float32"), np.array([0, 1, 2, 0])


def attached(callback, model):
    callback.set_model(model)
    return callback


@contextlib.contextmanager
def full_disk(size):
    """Files cannot grow beyond `size` bytes, which writers see as they see a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_backup_has_weights_optimizer_and_random_state(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    assert backup.restore(model) == 0
    backup.on_epoch_end(4, {"loss": 1.0})
    assert os.listdir(tmp_path) == ["epoch-0005.npz"]

    other = small_model.create(classes=3, drop_path_rate=0.1)
    compile_(other)
    assert Backup(str(tmp_path)).restore(other) == 5
    small_model.assert_same(other, small_model.values(model))
    assert int(other.optimizer.iterations) == 1
    for old, new in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy(), err_msg=old.path)
    seeds = [v.numpy().tolist() for v in other.non_trainable_variables if "seed" in v.path]
    assert seeds == [v.numpy().tolist() for v in model.non_trainable_variables if "seed" in v.path]
    assert any(state[1] for state in seeds), "the drop path drew nothing"


def test_only_the_latest_backup_is_kept(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    for epoch in range(3):
        backup.on_epoch_end(epoch, {"loss": 1.0})
    assert os.listdir(tmp_path) == ["epoch-0003.npz"]
    assert backup.epoch() == 3


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_full_disk_leaves_the_old_backup(model, tmp_path, size):
    backup = attached(Backup(str(tmp_path)), model)
    backup.on_epoch_end(0, {"loss": 1.0})
    whole = (tmp_path / "epoch-0001.npz").read_bytes()
    assert len(whole) > size
    with full_disk(size), pytest.raises(CheckpointError, match=r"Cannot write .*epoch-0002.npz"):
        backup.on_epoch_end(1, {"loss": 1.0})
    assert os.listdir(tmp_path) == ["epoch-0001.npz"]
    assert (tmp_path / "epoch-0001.npz").read_bytes() == whole
    backup.on_epoch_end(1, {"loss": 1.0})  # there is room again
    assert os.listdir(tmp_path) == ["epoch-0002.npz"]
    assert backup.restore(model) == 2


def test_a_full_disk_leaves_the_old_models(model, tmp_path):
    callback = attached(BestAndLast(str(tmp_path)), model)
    callback.on_epoch_end(0, {"val_accuracy": 0.5})
    whole = {name: (tmp_path / name).read_bytes() for name in ("best.keras", "last.keras")}
    with full_disk(100_000), pytest.raises(CheckpointError, match="the one that was there is kept"):
        callback.on_epoch_end(1, {"val_accuracy": 0.6})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_a_loss_that_is_no_number_is_not_backed_up(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    backup.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(CheckpointError, match=r"The loss of epoch 2 is nan: the backup of epoch 1 is kept"):
        backup.on_epoch_end(1, {"loss": float("nan")})
    assert backup.epoch() == 1


def test_a_damaged_backup_leaves_the_model(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    backup.on_epoch_end(0, {"loss": 1.0})
    path = tmp_path / "epoch-0001.npz"
    path.write_bytes(path.read_bytes()[:20_000])
    before = small_model.values(model)
    with pytest.raises(CheckpointError, match=r"epoch-0001.npz.* is damaged"):
        backup.restore(model)
    small_model.assert_same(model, before)


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
