"""Training on several devices and in several processes against training on one device."""

import distribution_worker as worker
import keras
import numpy as np
import pytest
from several_processes import environments, run_in_processes

from keras_mambaout.training.distribution import Devices, distribute

BACKEND = keras.backend.backend()
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """What training on one device gives."""
    with distribute(1) as devices:
        assert type(devices) is Devices
        return worker.train(devices, tmp_path_factory.mktemp("one"))


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has one process for each device")
def test_several_devices(one_device, tmp_path):
    count = 4 if BACKEND == "jax" else 2
    (result,) = run_in_processes(worker, [{}], count, tmp_path)
    assert result["devices"] == [count, 1, 0]
    assert result["shards"] == [[0, 1]]
    assert_same(result, one_device)

    outside, *unable = result["refused"]
    assert "inside `with distribute" in outside
    assert_tensorflow_refuses(unable)


def test_several_processes(one_device, tmp_path):
    results = run_in_processes(worker, environments(2), 1, tmp_path)
    for process, result in enumerate(results):
        assert result["devices"] == [2, 2, process]
        assert result["shards"] == [[process, 2]]
        assert_same(result, one_device)

    saved = worker.create()
    saved.load_weights(tmp_path / worker.WEIGHTS)
    np.testing.assert_allclose(worker.sums(saved), results[0]["weights"], rtol=1e-6)

    if BACKEND == "tensorflow":
        for result in results:
            *unable, different = result["refused"]
            assert "different weights" in different
            assert_tensorflow_refuses(unable)

    (before, first), (_, second) = (result["random_states"] for result in results)
    if BACKEND == "torch":  # on the others the processes draw one mask for the whole batch, or the same one
        assert before == first
        assert all(a != b for a, b in zip(first, second, strict=True))
    else:
        assert first == second


def assert_same(result, expected):
    """Compares the losses of all steps, the logs of `fit` and `evaluate`, and the weights after training."""
    assert abs(result["losses"][-1] - result["losses"][0]) > 0.01  # it learns
    for name in ("losses", "counted", "weights"):
        np.testing.assert_allclose(result[name], expected[name], rtol=TOLERANCE, err_msg=name)
    for name in ("history", "evaluated"):
        assert result[name] == pytest.approx(expected[name], rel=TOLERANCE)


def assert_tensorflow_refuses(errors):
    names = [list(settings)[-1] for settings in worker.UNABLE] if BACKEND == "tensorflow" else []
    assert len(errors) == len(names)
    assert all(f"`{name}`" in error for name, error in zip(names, errors, strict=True))


def test_one_device_sets_nothing_up():
    model = worker.create()
    with distribute(1) as devices:
        devices.prepare(model)
        assert (devices.replicas, devices.processes, devices.chief) == (1, 1, True)
        assert devices.feed(lambda shard: shard) == (0, 1)
        assert keras.distribution.distribution() is None
    assert "train_step" not in vars(model)


@pytest.mark.parametrize("devices", ["all", "", 0, -1, 1.5, True, None, "auto:2"])
def test_devices_must_be_auto_or_a_number(devices):
    with pytest.raises(ValueError, match="'auto' or a number"), distribute(devices):
        pass


def test_more_devices_than_there_are():
    message = "torchrun --nproc-per-node 99" if BACKEND == "torch" else "`devices` is 99"
    with pytest.raises(ValueError, match=message), distribute("99"):
        pass


def test_batches_must_be_split_evenly():
    devices = Devices(replicas=3)
    with pytest.raises(ValueError, match=r"batch of 8 images .* a multiple of 3"):
        devices.feed(worker.rows)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="on the others a process has one device, or splits batches itself")
def test_batches_for_the_devices_of_one_of_several_processes():
    from keras_mambaout.training.tensorflow_strategy import split_batches

    whole, parts = list(worker.rows((1, 2))), list(split_batches(worker.rows((1, 2)), 2))
    assert len(parts) == 2 * len(whole)
    for index, batch in enumerate(whole):
        for component, (first, second) in enumerate(zip(*parts[2 * index : 2 * index + 2], strict=True)):
            assert len(first) == len(second)
            np.testing.assert_array_equal(np.concatenate([first, second]), batch[component])


@pytest.mark.skipif(BACKEND != "torch", reason="the others use all devices in one process")
def test_what_torchrun_has_to_do(monkeypatch, caplog):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with distribute("auto") as devices:
        assert devices.replicas == 1
    assert "Of 4 GPUs one is used" in caplog.text
    assert "torchrun --nproc-per-node 4" in caplog.text

    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"`devices` is 3, but torchrun started 2"), distribute(3):
        pass
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="--nproc-per-node 1"), distribute(2):
        pass
