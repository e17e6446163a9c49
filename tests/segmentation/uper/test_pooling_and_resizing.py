"""Adaptive pooling and bilinear resizing equal PyTorch's at even, odd and unknown sizes."""

import keras
import numpy as np
import pytest
import segmentation_cases as cases
from keras import ops
from small_segmenter import Values

from keras_mambaout.compare.frameworks import value_and_gradients
from keras_mambaout.segmentation import adaptive_average_pool, resize_bilinear
from keras_mambaout.segmentation.inference import resize_rows

TENSORFLOW = keras.backend.backend() == "tensorflow"
needs_unknown_sizes = pytest.mark.skipif(not TENSORFLOW, reason="JAX and PyTorch always know sizes")


@pytest.fixture(scope="module")
def torch():
    return cases.torch_results()


def with_unknown_sizes(function):
    import tensorflow as tf

    return tf.function(function, input_signature=[tf.TensorSpec((None, None, None, 3))], autograph=False)


def gradient(function, size):
    """The gradient that the fixture contains."""
    layer = Values(cases.feature(size))
    shape = function(ops.convert_to_tensor(cases.feature(size))).shape
    weights = ops.convert_to_tensor(cases.cotangent(tuple(shape[1:3])))
    _, gradients = value_and_gradients(layer, ops.ones((1,)), lambda x: ops.sum(function(x) * weights))
    return gradients[layer.values.path]


@pytest.mark.parametrize("scale", cases.POOL_SCALES)
@pytest.mark.parametrize("size", cases.POOL_SIZES)
def test_pooling(torch, size, scale):
    pooled = adaptive_average_pool(ops.convert_to_tensor(cases.feature(size)), scale)
    np.testing.assert_allclose(ops.convert_to_numpy(pooled), torch[cases.pool_name(size, scale)], atol=1e-6)


@needs_unknown_sizes
@pytest.mark.parametrize("scale", cases.POOL_SCALES)
def test_pooling_of_unknown_sizes(torch, scale):
    pool = with_unknown_sizes(lambda x: adaptive_average_pool(x, scale))
    for size in cases.POOL_SIZES:
        np.testing.assert_allclose(pool(cases.feature(size)), torch[cases.pool_name(size, scale)], atol=1e-6)


@pytest.mark.parametrize("size", [(7, 5), (15, 17), (2, 3)])
def test_gradient_of_pooling(torch, size):
    for scale in (3, 6):
        values = gradient(lambda x, scale=scale: adaptive_average_pool(x, scale), size)
        np.testing.assert_allclose(values, torch[f"{cases.pool_name(size, scale)}/gradient"], atol=1e-5)


def test_pooling_keeps_the_dtype():
    x = ops.cast(cases.feature((16, 16)), "float16")
    pooled = adaptive_average_pool(x, 1)
    assert keras.backend.standardize_dtype(pooled.dtype) == "float16"


@pytest.mark.parametrize(("old", "new"), cases.RESIZES)
def test_resizing(torch, old, new):
    expected, x = torch[cases.resize_name(old, new)], cases.feature(old)
    np.testing.assert_allclose(
        ops.convert_to_numpy(resize_bilinear(ops.convert_to_tensor(x), new)), expected, atol=1e-5
    )
    rows = slice(1, new[0] - 1)
    np.testing.assert_allclose(resize_rows(x[0], new, rows), expected[0, rows], atol=1e-5)


@needs_unknown_sizes
def test_keras_takes_no_unknown_sizes():
    """Why `resize_bilinear` and `adaptive_average_pool` exist."""
    for function in (
        lambda x: ops.image.resize(x, (2 * ops.shape(x)[1], 2 * ops.shape(x)[2]), data_format="channels_last"),
        lambda x: ops.adaptive_average_pool(x, 6, data_format="channels_last"),
    ):
        with pytest.raises((TypeError, ValueError)):
            with_unknown_sizes(function)(cases.feature((16, 16)))


@needs_unknown_sizes
def test_resizing_of_unknown_sizes(torch):
    import tensorflow as tf

    both = tf.function(
        lambda x, like: resize_bilinear(x, ops.shape(like)[1:3]),
        input_signature=[tf.TensorSpec((None, None, None, 3))] * 2,
        autograph=False,
    )
    for old, new in cases.RESIZES:
        resized = both(cases.feature(old), np.zeros((1, *new, 3), "float32"))
        np.testing.assert_allclose(resized, torch[cases.resize_name(old, new)], atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [cases.RESIZES[index] for index in (0, 2, 5, 8)])
def test_gradient_of_resizing(torch, old, new):
    values = gradient(lambda x: resize_bilinear(x, new), old)
    np.testing.assert_allclose(values, torch[f"{cases.resize_name(old, new)}/gradient"], atol=1e-5)
