"""What is computed from a batch that devices share, on one of them: `tests/training` has several."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.layers import replica_batch_norm, replicas
from keras_mambaout.layers.replica_batch_norm import ReplicaBatchNormalization


def test_one_device():
    x = ops.ones((2, 3))
    assert replicas.replica_count() == 1 and replicas.replica_mean(x) is x
    assert float(replicas.replica_share(ops.ones(()))) == 1.0
    assert float(replicas.shared_count(ops.convert_to_tensor([[True, False], [True, True]]))) == 3.0
    assert float(replicas.shared_count(ops.zeros((4,), "bool"))) == 1.0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_norm_is_that_of_keras(monkeypatch, policy, axis):
    """Where the devices have the same values, the formula for several of them gives what Keras' gives for one."""
    x = 3 + 2 * np.random.default_rng(0).standard_normal((4, 5, 6, 5)).astype("float32")
    settings = {"axis": axis, "momentum": 0.9, "epsilon": 1e-5, "dtype": policy}
    layers = [ReplicaBatchNormalization(**settings), keras.layers.BatchNormalization(**settings)]
    for layer in layers:
        layer.build(x.shape)
        layer.gamma.assign(np.arange(1.0, 6.0))
        layer.beta.assign(np.arange(5.0))
    names = [[variable.name for variable in layer.weights] for layer in layers]
    assert names[0] == names[1]
    monkeypatch.setattr(replica_batch_norm, "replica_count", lambda: 2)
    outputs = [layer(x, training=True) for layer in layers]
    assert outputs[0].dtype == outputs[1].dtype
    outputs += [layer(x, training=False) for layer in layers]
    outputs = [ops.convert_to_numpy(ops.cast(output, "float32")) for output in outputs]
    tolerance = 1e-5 if policy == "float32" else 0.05
    for first, second in (outputs[:2], outputs[2:]):
        np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance)
    for first, second in zip(*(layer.weights for layer in layers), strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-5)
