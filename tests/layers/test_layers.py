"""Every layer against its formula in NumPy, and the habits that all of them share."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout import layers
from keras_mambaout.layers.common import LayerNorm
from keras_mambaout.layers.image_normalization import IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.usefixtures("optimized")
LAYERS = {
    "image_normalization": (lambda **k: layers.ImageNormalization(**k), (2, 9, 7, 3)),
    "pad_to_multiple": (lambda **k: layers.PadToMultiple(4, **k), (2, 9, 7, 3)),
    "strided_conv": (lambda **k: layers.StridedConv2D(6, **k), (2, 9, 7, 4)),
    "stem": (lambda **k: layers.Stem(8, **k), (2, 33, 40, 3)),
    "stem_without_mid_norm": (lambda **k: layers.Stem(8, mid_norm=False, activation="silu", **k), (2, 33, 40, 3)),
    "downsample": (lambda **k: layers.Downsample(6, **k), (2, 9, 8, 4)),
    "downsample_norm_first": (lambda **k: layers.Downsample(6, norm_first=True, **k), (2, 9, 8, 4)),
    "depthwise_conv": (lambda **k: layers.DepthwiseConv2D(5, **k), (2, 9, 7, 4)),
    "layer_scale": (lambda **k: layers.LayerScale(0.3, **k), (2, 5, 5, 4)),
    "stochastic_depth": (lambda **k: layers.StochasticDepth(0.3, seed=1, **k), (2, 5, 5, 4)),
    "gated_cnn_block": (lambda **k: layers.GatedCNNBlock(drop_path_rate=0.2, layer_scale_init=1e-5, **k), (2, 9, 7, 6)),
    "gated_cnn_block_partial": (lambda **k: layers.GatedCNNBlock(3.0, 1.5, 3, "silu", **k), (2, 9, 7, 6)),
    "classifier_head": (lambda **k: layers.ClassifierHead(5, dropout_rate=0.1, **k), (2, 4, 3, 6)),
    "classifier_head_norm_mlp": (lambda **k: layers.ClassifierHead(5, hidden_norm=False, **k), (2, 4, 3, 6)),
}


@pytest.fixture(params=LAYERS)
def case(request):
    make, shape = LAYERS[request.param]
    return make, np.random.RandomState(0).standard_normal(shape).astype("float32")


def randomise(layer, seed=0):
    random = np.random.RandomState(seed)
    for variable in layer.weights:
        variable.assign(random.standard_normal(variable.shape) * 0.5)


def call(layer, x, **kwargs):
    return ops.convert_to_numpy(layer(x, **kwargs))


def test_config_rebuilds_the_layer(case):
    make, x = case
    layer = make()
    layer(x)
    rebuilt = type(layer).from_config(layer.get_config())
    rebuilt.build(x.shape)
    assert rebuilt.get_config() == layer.get_config()
    randomise(layer)
    rebuilt.set_weights(layer.get_weights())
    np.testing.assert_array_equal(call(rebuilt, x), call(layer, x))


def test_serialised_class_is_registered(case):
    layer = case[0]()
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"].startswith("keras_mambaout>")
    assert type(keras.saving.deserialize_keras_object(config)) is type(layer)


def test_symbolic_shape_is_the_shape(case):
    make, x = case
    layer = make()
    output = layer(x)
    assert layer.compute_output_shape(x.shape) == tuple(output.shape)
    symbolic = make()(keras.KerasTensor((None, None, None, x.shape[-1])))
    assert symbolic.shape[-1] == output.shape[-1] and len(symbolic.shape) == len(output.shape)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(case, policy):
    make, x = case
    layer, exact = make(dtype=policy), make()
    output = layer(x)
    exact(x)
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")
    assert all(variable.dtype == "float32" for variable in layer.weights)
    exact.set_weights(layer.get_weights())
    expected = call(exact, x)
    error = np.linalg.norm(ops.convert_to_numpy(ops.cast(output, "float32")) - expected)
    assert error <= 0.03 * np.linalg.norm(expected) + 1e-6


def conv2d(x, kernel, bias, stride, pad):
    """Convolution as its formula says, in float64."""
    x = np.pad(x.astype("float64"), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    size = kernel.shape[0]
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((len(x), height, width, kernel.shape[-1]))
    for u in range(size):
        for v in range(size):
            rows, columns = u + stride * np.arange(height), v + stride * np.arange(width)
            y += x[:, rows][:, :, columns] @ kernel[u, v]
    return y + bias


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (7, 9)])
def test_strided_conv_pads_both_sides(size):
    layer = layers.StridedConv2D(6)
    x = np.random.RandomState(0).standard_normal((2, *size, 4)).astype("float32")
    layer(x)
    randomise(layer)
    expected = conv2d(x, layer.kernel.numpy(), layer.bias.numpy(), stride=2, pad=1)
    np.testing.assert_allclose(call(layer, x), expected, atol=1e-4)


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_depthwise_conv(kernel_size):
    layer = layers.DepthwiseConv2D(kernel_size)
    x = np.random.RandomState(0).standard_normal((2, 9, 6, 4)).astype("float32")
    layer(x)
    randomise(layer)
    kernel = layer.kernel.numpy() * np.eye(4)  # (k, k, C, C), diagonal
    expected = conv2d(x, kernel, layer.bias.numpy(), stride=1, pad=kernel_size // 2)
    np.testing.assert_allclose(call(layer, x), expected, atol=1e-4)


def test_gated_cnn_block_formula():
    block = layers.GatedCNNBlock(3.0, 1.5, 3, "silu", layer_scale_init=0.5)
    x = np.random.RandomState(0).standard_normal((2, 7, 6, 4)).astype("float32")
    block(x)
    randomise(block)
    w = {variable.path.split("/", 1)[1]: variable.numpy().astype("float64") for variable in block.weights}
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    z = (normed * w["norm/gamma"] + w["norm/beta"]) @ w["fc1/kernel"] + w["fc1/bias"]
    g, i, c = z[..., :12], z[..., 12:18], z[..., 18:]
    c = conv2d(c, w["conv/kernel"] * np.eye(6), w["conv/bias"], stride=1, pad=1)
    y = (g / (1 + np.exp(-g)) * np.concatenate([i, c], -1)) @ w["fc2/kernel"] + w["fc2/bias"]
    np.testing.assert_allclose(call(block, x), x + w["ls/gamma"] * y, atol=1e-4)


def test_image_normalization():
    x = np.random.RandomState(0).randint(0, 256, (2, 4, 5, 3)).astype("float32")
    expected = (x / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(call(layers.ImageNormalization(), x), expected, atol=1e-5)
    grey = call(layers.ImageNormalization(), x[..., :1])
    np.testing.assert_allclose(grey, (x[..., :1] / 255 - 0.449) / 0.226, atol=1e-5)
    five = call(layers.ImageNormalization(), x[..., [0, 1, 2, 0, 1]])
    np.testing.assert_allclose(five, expected[..., [0, 1, 2, 0, 1]], atol=1e-5)


def test_image_normalization_takes_channels_that_keras_refuses():
    """`keras.layers.Normalization` computes the same for three channels, and nothing for another number."""
    mean, std = 255 * np.array(IMAGENET_MEAN), 255 * np.array(IMAGENET_STD)
    x = np.random.RandomState(0).randint(0, 256, (2, 4, 5, 3)).astype("float32")
    keras_layer = keras.layers.Normalization(mean=mean.tolist(), variance=np.square(std).tolist())
    np.testing.assert_allclose(call(layers.ImageNormalization(), x), call(keras_layer, x), atol=1e-5)
    for channels in (1, 5):
        image = np.ones((1, 4, 4, channels), "float32")
        assert layers.ImageNormalization()(image).shape == image.shape
        with pytest.raises(Exception, match=r"(?i)broadcast|expand|shape"):
            keras.layers.Normalization(mean=mean.tolist(), variance=np.square(std).tolist())(image)


@pytest.mark.parametrize("layer", [layers.LayerScale(1.0), layers.StochasticDepth(0.1), LayerNorm()])
def test_masks_pass(layer):
    """The average over what is not masked, by a layer of Keras that reads the mask."""
    x = np.array([[[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], [[1.0, 4.0], [0.0, 0.0], [0.0, 0.0]]], "float32")
    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(layer(keras.layers.Masking()(inputs))))
    y = call(layer, x)
    np.testing.assert_allclose(call(model, x), [y[0, :2].mean(0), y[1, 0]], atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("given", ["float32", "float16", "int32"])
def test_layer_norm_returns_the_dtype_that_keras_does(policy, given):
    x = ops.ones((2, 3, 4), given)
    ours, theirs = LayerNorm(dtype=policy), keras.layers.LayerNormalization(dtype=policy)
    dtype = keras.backend.standardize_dtype
    assert dtype(ours(x).dtype) == dtype(theirs(x).dtype) == ours.compute_dtype
    symbolic = keras.KerasTensor((2, 3, 4), given)
    assert dtype(ours(symbolic).dtype) == dtype(theirs(symbolic).dtype) == ours.compute_dtype
    assert dtype(ours.call(x).dtype) == ours.compute_dtype  # outside of the autocasting of `__call__` too


class TestStochasticDepth:
    x = np.ones((4000, 2, 2, 3), "float32")

    def test_identity_at_inference(self):
        np.testing.assert_array_equal(call(layers.StochasticDepth(0.9), self.x), self.x)

    def test_drops_whole_samples_and_keeps_the_mean(self):
        y = call(layers.StochasticDepth(0.25, seed=0), self.x, training=True)
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
        np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1, :1], y.shape))
        assert np.mean(y[:, 0, 0, 0] == 0) == pytest.approx(0.25, abs=0.03)

    def test_seeded_runs_repeat_and_calls_differ(self):
        one, other = layers.StochasticDepth(0.5, seed=3), layers.StochasticDepth(0.5, seed=3)
        first = call(one, self.x, training=True)
        np.testing.assert_array_equal(first, call(other, self.x, training=True))
        assert np.any(first != call(one, self.x, training=True))

    def test_global_seed(self):
        runs = []
        for _ in range(2):
            keras.utils.set_random_seed(11)
            runs.append(call(layers.StochasticDepth(0.5), self.x, training=True))
        np.testing.assert_array_equal(*runs)

    @pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
    def test_bad_rate(self, rate):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            layers.StochasticDepth(rate)


def test_norm_statistics_are_float32_under_mixed_precision():
    """A mean of 1000 with a deviation of 1 is beyond bfloat16; the norm of such values must survive."""
    x = 1000.0 + 8 * np.random.RandomState(0).randint(-1, 2, (2, 4, 4, 64)).astype("float32")
    block = layers.Downsample(4, norm_first=True, dtype="mixed_bfloat16")
    block(x)
    normed = ops.convert_to_numpy(ops.cast(block.norm(ops.cast(x, "bfloat16")), "float32"))
    expected = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    assert np.abs(normed - expected).max() < 0.02


def test_initial_values():
    block = layers.GatedCNNBlock(layer_scale_init=1e-5)
    block.build((None, 8, 8, 48))
    kernel = block.fc1.kernel.numpy()
    assert np.abs(kernel).max() <= 0.04 and kernel.std() == pytest.approx(0.0176, rel=0.05)  # 0.02, cut at two sigma
    assert not block.fc1.bias.numpy().any() and not block.conv.bias.numpy().any()
    np.testing.assert_array_equal(block.ls.gamma.numpy(), np.float32(1e-5))


def test_initial_values_follow_the_global_seed_and_differ_between_kernels():
    def kernels():
        keras.utils.set_random_seed(5)
        block = layers.GatedCNNBlock(expansion_ratio=0.5, conv_ratio=0.5)
        block.build((None, 8, 8, 16))
        return block.fc1.kernel.numpy(), block.fc2.kernel.numpy()

    (fc1, fc2), (again, _) = kernels(), kernels()
    np.testing.assert_array_equal(fc1, again)
    assert np.any(fc1[:8] != fc2[:8])


@pytest.mark.parametrize("kernel_size", [0, 2, 4])
def test_even_kernels_have_no_centre(kernel_size):
    with pytest.raises(ValueError, match="odd positive integer"):
        layers.DepthwiseConv2D(kernel_size)
