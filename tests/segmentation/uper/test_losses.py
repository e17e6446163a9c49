"""The loss with pixels that do not count, and its gradient, against formulas in NumPy and against PyTorch."""

import keras
import numpy as np
import pytest
import segmentation_cases as cases
from keras import ops
from small_segmenter import Values

from keras_mambaout.compare.frameworks import value_and_gradients
from keras_mambaout.segmentation.uper.losses import cross_entropy


def by_numpy(logits, labels, ignore_index=255):
    """The loss and its gradient, in float64."""
    logits = logits.astype("float64")
    counted = labels != ignore_index
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    own = np.eye(logits.shape[-1])[np.where(counted, labels, 0)]
    entropy = -np.log((probabilities * own).sum(-1))
    gradient = np.where(counted[..., None], probabilities - own, 0.0) / counted.sum()
    return entropy[counted].mean(), gradient


def loss_and_gradient(logits, labels, **options):
    layer = Values(logits)
    labels = ops.convert_to_tensor(labels)
    loss, gradients = value_and_gradients(layer, ops.ones((1,)), lambda x: cross_entropy(x, labels, **options))
    return loss, gradients[layer.values.path]


@pytest.mark.parametrize("seed", range(3))
def test_formula(seed):
    logits, labels = cases.logits_and_labels(seed)
    loss, gradient = loss_and_gradient(logits, labels)
    expected, expected_gradient = by_numpy(logits, labels)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)
    assert not gradient[labels == 255].any() and np.abs(gradient[labels != 255]).min(axis=-1).all()


def test_equals_pytorch():
    torch = cases.torch_results()
    loss, gradient = loss_and_gradient(*cases.logits_and_labels())
    assert loss == pytest.approx(float(torch["loss"]), rel=1e-5)
    np.testing.assert_allclose(gradient, torch["loss/gradient"], atol=1e-7)


def test_another_ignored_label():
    logits, labels = cases.logits_and_labels()
    labels[labels == 255] = 0
    loss, gradient = loss_and_gradient(logits, labels, ignore_index=0)
    expected, expected_gradient = by_numpy(logits, labels, ignore_index=0)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


@pytest.mark.parametrize("label", [255, -1, 4, 1000])
def test_nothing_counts(label):
    logits, labels = cases.logits_and_labels()
    loss, gradient = loss_and_gradient(1e4 * logits, np.full_like(labels, label))
    assert loss == 0.0 and not gradient.any()


def test_large_logits_stay_finite():
    logits, labels = cases.logits_and_labels()
    loss, gradient = loss_and_gradient(1e4 * logits, labels)
    assert np.isfinite(loss) and np.isfinite(gradient).all()


def test_half_precision_is_computed_in_float32():
    logits, labels = cases.logits_and_labels()
    half = logits.astype("float16")
    loss = cross_entropy(ops.convert_to_tensor(half), ops.convert_to_tensor(labels.astype("uint8")))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(by_numpy(half, labels)[0], rel=1e-5)
