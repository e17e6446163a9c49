"""Mask R-CNN and UperNet on several devices and in several processes against one device with the whole batch."""

import functools
import subprocess
import sys
import textwrap

import dense_run_worker as run_worker
import dense_worker as worker
import keras
import numpy as np
import pytest
from several_processes import environments, run_in_processes, started

from keras_mambaout.training.distribution import distribute

BACKEND = keras.backend.backend()
TOLERANCE = 1e-4
EXHAUSTIVE = pytest.mark.exhaustive
TASKS = [("detector", "segmenter")]  # of one run, so that imports are paid for once
if BACKEND != "torch":  # they compile Mask R-CNN for minutes
    TASKS = [("segmenter",), pytest.param(("detector",), marks=EXHAUSTIVE)]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """A function that returns what training of a task on one device gives."""

    @functools.cache
    def train(task):
        with distribute(1) as devices:
            return worker.TASKS[task](devices, tmp_path_factory.mktemp(task))

    return train


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has one process for each device")
@pytest.mark.parametrize("tasks", TASKS, ids="-".join)
@pytest.mark.parametrize("count", [2, pytest.param(4, marks=EXHAUSTIVE)])
def test_several_devices(one_device, tmp_path, count, tasks):
    if count == 4 and BACKEND == "tensorflow":
        pytest.skip("two logical devices show what four do")
    (result,) = run_in_processes(worker, [{}], count, tmp_path, *tasks)
    assert_same(result, one_device)


@pytest.mark.parametrize("tasks", TASKS, ids="-".join)
@pytest.mark.parametrize("count", [2 if BACKEND == "torch" else pytest.param(2, marks=EXHAUSTIVE)])
def test_several_processes(one_device, tmp_path, count, tasks):
    for result in run_in_processes(worker, environments(count), 1, tmp_path, *tasks):
        assert_same(result, one_device)


def assert_same(result, one_device):
    """Compares all logs of all steps, the logs of `fit` with those of validation, the weights, and AP and mIoU."""
    for task, values in result.items():
        first, *_, last = values["steps"]
        assert abs(last["loss"] - first["loss"]) > 0.01  # it learns
        found, wanted = (dict(keras.tree.flatten_with_path(part)) for part in (values, one_device(task)))
        assert found.keys() == wanted.keys()
        for path, value in wanted.items():
            absolute = 3e-5 if path[0] == "weights" else absolute_tolerance(str(path[-1]))
            assert found[path] == pytest.approx(value, rel=TOLERANCE, abs=absolute, nan_ok=True), (task, path)


def absolute_tolerance(name):
    """Where pixels are counted, rounding may turn a few."""
    return 3e-4 if any(word in name for word in ("accuracy", "IoU")) else 1e-6


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("instances", marks=[] if BACKEND == "torch" else EXHAUSTIVE),
        pytest.param("semantic", marks=EXHAUSTIVE),
    ],
)
def test_a_run_of_which_a_process_was_killed_ends_like_one_on_one_device(task, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        worker.write_objects(tmp_path / folder / "objects")
        worker.write_pixels(tmp_path / folder / "pixels")
    with distribute(1) as devices:
        history = run_worker.main(task, tmp_path / "one", devices)
    with started(run_worker, environments(2), 1, tmp_path / "two", task, "killed") as processes:
        processes[-1].communicate(timeout=600)
        assert processes[-1].returncode == (1 if BACKEND == "torch" else -9)
    assert [path.name for path in (tmp_path / "two" / "run" / "backup").glob("epoch-*")] == ["epoch-0001.npz"]
    for found in run_in_processes(run_worker, environments(2), 1, tmp_path / "two", task):
        assert found.keys() == history.keys()
        for name, values in history.items():
            np.testing.assert_allclose(found[name], values, rtol=TOLERANCE, atol=absolute_tolerance(name), err_msg=name)
    ends = [keras.models.load_model(tmp_path / part / "run" / "last.keras", compile=False) for part in ("one", "two")]
    for variable, other in zip(*(model.weights for model in ends), strict=True):
        # a tenth of AdamW's steps of 1e-3, which are no smaller where a gradient is all rounding
        np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=TOLERANCE, atol=1e-4, err_msg=variable.path)


@pytest.mark.skipif(BACKEND != "jax", reason="on the others, each device runs RoIAlign on its own images")
def test_devices_do_not_gather_each_others_features():
    """In what XLA makes of RoIAlign's sums and their gradient for two devices."""
    script = """
        import jax, jax.numpy as jnp, numpy as np
        jax.config.update("jax_num_cpu_devices", 2)
        from keras_mambaout.layers.kernels import weighted_rows
        mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
        features, indices, weights = jnp.ones((4, 100, 8)), jnp.zeros((4, 5, 16), "int32"), jnp.ones((4, 5, 16))
        step = jax.value_and_grad(lambda *inputs: jnp.sum(weighted_rows(*inputs) ** 2))
        step = jax.jit(step, in_shardings=(split,) * 3, out_shardings=(None, split))
        print(step.lower(features, indices, weights).compile().as_text())
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, stdout=subprocess.PIPE, text=True)
    assert "all-reduce(" in run.stdout  # of the loss
    assert "all-gather(" not in run.stdout
