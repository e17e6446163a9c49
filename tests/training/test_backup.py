"""Backups: what is written and when, what is restored, what a full disk and a wrong file do."""

import os

import keras
import numpy as np
import pytest
import small_model
import trained_model
from trained_model import attached, data, full_disk

from keras_mambaout.training.backup import Backup, RestOfEpoch
from keras_mambaout.training.checkpoints import CheckpointError


@pytest.fixture(scope="module")
def model():
    return trained_model.shared()


def test_a_backup_has_weights_optimizer_and_random_state(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    assert backup.restore(model) == (0, 0)
    backup.on_epoch_end(4, {"loss": 1.0})
    assert os.listdir(tmp_path) == ["epoch-0005.npz"]

    other = trained_model.create(steps=0)
    assert Backup(str(tmp_path)).restore(other) == (5, 0)
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
    assert backup.place() == (3, 0)


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
    assert backup.restore(model) == (2, 0)


def test_a_loss_that_is_no_number_is_not_backed_up(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    backup.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(CheckpointError, match=r"The loss of epoch 2 is nan: the backup of epoch 1 is kept"):
        backup.on_epoch_end(1, {"loss": float("nan")})
    assert backup.place() == (1, 0)


def test_a_damaged_backup_leaves_the_model(model, tmp_path):
    backup = attached(Backup(str(tmp_path)), model)
    backup.on_epoch_end(0, {"loss": 1.0})
    path = tmp_path / "epoch-0001.npz"
    path.write_bytes(path.read_bytes()[:20_000])
    before = small_model.values(model)
    with pytest.raises(CheckpointError, match=r"epoch-0001.npz.* is damaged"):
        backup.restore(model)
    small_model.assert_same(model, before)


def steps(backup, count, first=0):
    """Lets the callback see steps as in `fit`."""
    for batch in range(first, first + count):
        backup.on_train_batch_begin(batch)
        backup.on_train_batch_end(batch, {"loss": 1.0})


def test_backups_inside_an_epoch(model, tmp_path):
    """After every third of seven steps; an epoch's own comes in the place of those in it."""
    backup = attached(Backup(str(tmp_path), every=3), model, steps=7)
    found = []
    for epoch in (0, 1):
        backup.on_epoch_begin(epoch)
        for batch in range(7):
            steps(backup, 1, batch)
            found.append(backup.place())
        assert os.listdir(tmp_path) == [f"epoch-{epoch:04}-step-000006.npz"]
        backup.on_epoch_end(epoch, {"loss": 1.0})
        assert os.listdir(tmp_path) == [f"epoch-{epoch + 1:04}.npz"]
    assert found == [(0, 0)] * 2 + [(0, 3)] * 3 + [(0, 6)] * 2 + [(1, 0)] * 2 + [(1, 3)] * 3 + [(1, 6)] * 2


def test_no_backup_at_the_last_step(model, tmp_path):
    """The one of the epoch comes after its validation."""
    backup = attached(Backup(str(tmp_path), every=2), model, steps=4)
    backup.on_epoch_begin(0)
    steps(backup, 4)
    assert backup.place() == (0, 2)


def test_what_the_metrics_have_counted_goes_on(model, tmp_path):
    backup = attached(Backup(str(tmp_path), every=1), model, steps=3)
    model.reset_metrics()
    backup.on_epoch_begin(2)
    logs = model.train_on_batch(*data(), return_dict=True)
    backup.on_train_batch_end(0, logs)
    counted = [variable.numpy() for variable in model.metrics_variables]
    assert any(counted)

    resumed = attached(Backup(str(tmp_path), every=1), model, steps=3)
    assert resumed.restore(model) == (2, 1)
    resumed.on_epoch_begin(2)
    resumed.on_train_batch_end(0, logs)  # on top of those that the model has from the step before
    np.testing.assert_array_equal([v.numpy() for v in model.metrics_variables], 2 * np.array(counted))
    assert resumed.place() == (2, 2), "counted from the step that it goes on from"
    resumed.on_epoch_end(2, logs)
    resumed.on_epoch_begin(3)
    resumed.on_train_batch_end(0, logs)
    np.testing.assert_array_equal([v.numpy() for v in model.metrics_variables], 2 * np.array(counted))
    assert resumed.place() == (3, 1)


def test_metrics_of_another_model_are_refused(model, tmp_path):
    backup = attached(Backup(str(tmp_path), every=1), model, steps=3)
    backup.on_epoch_begin(0)
    steps(backup, 1)
    (path,) = tmp_path.iterdir()
    values = dict(np.load(path))
    del values["metric 0"]
    np.savez(path, **values)
    resumed = attached(Backup(str(tmp_path)), model)
    resumed.restore(model)
    resumed.on_epoch_begin(0)
    with pytest.raises(CheckpointError, match=r"step-000001.npz' is of a different model or optimizer: .*'metric \d'"):
        resumed.on_train_batch_end(0, {"loss": 1.0})


def test_a_loss_that_is_no_number_inside_an_epoch(model, tmp_path):
    backup = attached(Backup(str(tmp_path), every=1), model, steps=3)
    backup.on_epoch_begin(1)
    steps(backup, 1)
    with pytest.raises(CheckpointError, match="loss of epoch 2, step 2 is inf: the backup of epoch 2, step 1 is kept"):
        backup.on_train_batch_end(1, {"loss": float("inf")})
    assert backup.place() == (1, 1)


class Stop(keras.callbacks.Callback):
    """Stops a training after an epoch, or after a step of the first one."""

    def __init__(self, epoch=None, step=None):
        super().__init__()
        self.epoch, self.step, self.seen = epoch, step, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen[-1] += 1
        if batch + 1 == self.step:
            self.model.stop_training = True

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(0)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.stop_training = True


ON_TORCH = pytest.mark.first_on("torch")


@pytest.mark.parametrize(
    ("begun", "stop", "expected"),
    [
        (3, {}, [1, 4, 4]),
        (1, {"epoch": 2}, [3, 4]),
        pytest.param(0, {}, [4, 4, 4], marks=ON_TORCH),
        pytest.param(1, {"epoch": 1}, [3], marks=ON_TORCH),
        pytest.param(1, {"step": 2}, [2], marks=ON_TORCH),
    ],
)
def test_the_rest_of_an_epoch(begun, stop, expected):
    """Who else stops the training is heard."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((4 * 3 - begun, 2), "float32")
    stopping = Stop(**stop)
    model.fit(
        x,
        x[:, :1],
        1,
        epochs=4,
        initial_epoch=1,
        steps_per_epoch=4,
        verbose=0,
        callbacks=[RestOfEpoch(begun), stopping],
    )
    assert stopping.seen == expected
