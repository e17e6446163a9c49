"""The fast kernels against the layers and operations of Keras: values, gradients, dtypes, devices."""

import functools

import keras
import numpy as np
import pytest
from backend_ops import gradients
from keras import ops

import keras_mambaout
from keras_mambaout.layers import composite, kernels
from keras_mambaout.layers.common import LayerNorm
from keras_mambaout.layers.depthwise_conv import DepthwiseConv2D
from keras_mambaout.layers.gated_cnn_block import GatedCNNBlock
from keras_mambaout.layers.head_layers import Conv2D
from keras_mambaout.layers.kernels import keras_kernels
from keras_mambaout.layers.strided_conv import StridedConv2D

pytestmark = pytest.mark.usefixtures("optimized")
BACKEND = keras.backend.backend()
FORMULATIONS = ["native", "shifted"] if BACKEND == "jax" else ["native"]


@pytest.fixture
def formulation():
    """Sets the formulation of the depthwise convolution for one test."""
    yield kernels.set_depthwise_conv
    kernels.set_depthwise_conv("auto")


def single_layer_model(layer, shape, dtype="float32"):
    """A model of one layer with drawn weights. The output is float32, for the loss."""
    inputs = keras.Input(shape[1:], dtype="float32")
    outputs = ops.cast(layer(ops.cast(inputs, dtype)), "float32")
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def values_and_gradients(model, x):
    """The output and the gradients of a sum with drawn factors, for all weights and for the input."""
    shift = keras.Sequential([keras.layers.Input(x.shape[1:]), Shift(), model])  # d/dshift = d/dx
    factors = np.random.default_rng(1).normal(size=model(x).shape).astype("float32")
    _, grads = gradients(shift, ops.multiply, x, factors)
    return [ops.convert_to_numpy(model(x)), *grads.values()]


@keras.saving.register_keras_serializable("tests")
class Shift(keras.layers.Layer):
    """`x + shift` with a shift for every pixel, so that its gradient is that of the input."""

    def build(self, input_shape):
        self.shift = self.add_weight(shape=(1, *input_shape[1:]), initializer="zeros")

    def call(self, inputs):
        return inputs + self.shift


def assert_close(actual, expected, tolerance):
    for a, e in zip(actual, expected, strict=True):
        assert np.linalg.norm(a - e) <= tolerance * max(np.linalg.norm(e), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize(
    ("shape", "kernel_size"),
    [
        ((2, 13, 9, 5), 3),
        ((2, 7, 61, 3), 5),  # wider than the steps of the kernel's gradient
        ((1, 14, 14, 8), 7),
        ((2, 5, 3, 1), 9),  # a kernel larger than the image
        ((1, 1, 1, 1), 11),
    ],
)
def test_depthwise_conv_is_that_of_keras(formulation, name, shape, kernel_size, dtype):
    formulation(name)
    keras_layer = keras.layers.DepthwiseConv2D(kernel_size, padding="same", dtype="float32")
    expected_model = single_layer_model(keras_layer, shape)
    model = single_layer_model(DepthwiseConv2D(kernel_size, dtype=dtype), shape, dtype)
    if dtype == "bfloat16":  # the reference computes in float32 what bfloat16 can represent
        rounded = [ops.convert_to_numpy(ops.cast(ops.cast(w, dtype), "float32")) for w in model.get_weights()]
        model.set_weights(rounded)
    expected_model.set_weights(model.get_weights())
    x = np.random.default_rng(2).integers(-4, 5, size=shape).astype("float32") / 4  # exact in bfloat16
    tolerance = 1e-5 if dtype == "float32" else 5e-2
    assert_close(values_and_gradients(model, x), values_and_gradients(expected_model, x), tolerance)


@pytest.mark.parametrize("name", FORMULATIONS)
def test_the_formulation_can_be_chosen_and_changes_nothing_but_rounding(formulation, name):
    formulation(name)
    assert kernels.get_depthwise_conv() == name
    assert kernels.choose_depthwise_conv(BACKEND, "gpu") == name
    model = keras_mambaout.create_model("mambaout_test", weights=None, input_shape=(32, 32, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    chosen = model.predict(x, verbose=0)
    formulation("auto")
    model.make_predict_function(force=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), chosen, rtol=1e-5, atol=1e-7)


def test_automatic_choice_by_backend_and_device():
    choose = kernels.choose_depthwise_conv
    assert choose("jax", "cpu") == "shifted"
    assert [choose("jax", "gpu"), choose("jax", "tpu"), choose("tensorflow", "cpu"), choose("torch", "cpu")] == [
        "native"
    ] * 4


def test_wrong_formulations_are_refused(formulation):
    with pytest.raises(ValueError, match="auto, native, shifted"):
        formulation("fft")
    formulation("shifted")
    if BACKEND != "jax":
        with pytest.raises(ValueError, match="JAX only"):
            DepthwiseConv2D(3)(np.ones((1, 4, 4, 2), "float32"))


def test_sizes_known_only_when_called():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, DepthwiseConv2D(7)(inputs))
    for size in (5, 12):
        assert model.predict(np.ones((1, size, size + 3, 4)), verbose=0).shape == (1, size, size + 3, 4)


@pytest.mark.parametrize("shape", [(2, 9, 12, 3), (1, 8, 7, 6)])  # an image and a feature map
def test_strided_conv_is_keras_with_explicit_padding(shape):
    pad_and_conv = keras.Sequential([keras.layers.ZeroPadding2D(1), keras.layers.Conv2D(4, 3, strides=2)])
    expected_model = single_layer_model(pad_and_conv, shape)
    model = single_layer_model(StridedConv2D(4), shape)
    model.set_weights(expected_model.get_weights())
    x = np.random.default_rng(3).normal(size=shape).astype("float32")
    assert_close(values_and_gradients(model, x), values_and_gradients(expected_model, x), 1e-5)


@pytest.mark.parametrize(("size", "use_bias"), [(1, True), (3, True), (3, False), ((3, 5), True)])
def test_conv_is_that_of_keras(size, use_bias):
    options = {"padding": "same", "activation": "relu", "use_bias": use_bias}
    expected_model = single_layer_model(keras.layers.Conv2D(4, size, **options), (2, 6, 5, 3))
    model = single_layer_model(Conv2D(4, size, **options), (2, 6, 5, 3))
    x = np.random.default_rng(3).normal(size=(2, 6, 5, 3)).astype("float32")
    assert_close(values_and_gradients(model, x), values_and_gradients(expected_model, x), 1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="sizes are known when the others compute")
def test_gradient_of_a_convolution_of_unknown_sizes():
    import tensorflow as tf

    x, kernel = tf.random.stateless_normal((2, 8, 5, 3), [0, 1]), tf.random.stateless_normal((3, 5, 3, 4), [0, 2])

    def input_and_kernel_gradients(x, conv):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            value = tf.reduce_sum(tf.sin(conv(x)))
        return tape.gradient(value, [x, kernel])

    expected = input_and_kernel_gradients(x, lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"))
    ours = functools.partial(input_and_kernel_gradients, conv=lambda x: kernels.conv(x, kernel, None))
    assert_close(tf.function(ours, input_signature=[tf.TensorSpec((None, None, None, 3))])(x), expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer_norm_is_that_of_keras(dtype):
    x = np.random.default_rng(4).normal(3.0, 2.0, size=(2, 3, 5, 6)).astype("float32")
    model = single_layer_model(LayerNorm(epsilon=1e-6, dtype=dtype), x.shape, dtype)
    expected_model = single_layer_model(keras.layers.LayerNormalization(epsilon=1e-6, dtype=dtype), x.shape, dtype)
    tolerance = 1e-5 if dtype == "float32" else 5e-2
    assert_close(values_and_gradients(model, x), values_and_gradients(expected_model, x), tolerance)


@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize(("expansion_ratio", "conv_ratio"), [(8 / 3, 1.0), (2.0, 2.0)])
def test_block_is_its_formula(activation, expansion_ratio, conv_ratio):
    class Formula(GatedCNNBlock):
        """The block with the formula's own layers, and the operations of Keras in the gate."""

        def _gated_fast(self, x, training):
            return self._gated(x)

    x = np.random.default_rng(5).normal(size=(2, 6, 5, 12)).astype("float32")
    arguments = {"activation": activation, "expansion_ratio": expansion_ratio, "conv_ratio": conv_ratio}
    model = single_layer_model(GatedCNNBlock(**arguments), x.shape)
    expected_model = single_layer_model(Formula(**arguments), x.shape)
    expected_model.set_weights(model.get_weights())
    assert_close(values_and_gradients(model, x), values_and_gradients(expected_model, x), 1e-5)


def test_quantized_blocks_still_predict():
    x = np.random.default_rng(6).normal(size=(1, 6, 6, 8)).astype("float32")
    model = single_layer_model(GatedCNNBlock(), x.shape)
    expected = model.predict(x, verbose=0)
    block = next(layer for layer in model.layers if isinstance(layer, GatedCNNBlock))
    for layer in (block.fc1, block.fc2):
        layer.quantize("int8")
    quantized = ops.convert_to_numpy(model(x))
    assert 0 < np.linalg.norm(quantized - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.skipif(BACKEND != "jax", reason="the other backends differentiate their own operations")
def test_gradients_of_gradients_and_forward_mode():
    import jax

    rng = np.random.default_rng(7)
    x, kernel = (rng.normal(size=shape).astype("float32") for shape in ((1, 5, 6, 2), (3, 3, 2, 1)))
    gamma, beta = rng.normal(size=(2, 2)).astype("float32")

    def fast(x):
        y = kernels.layer_norm(kernels.depthwise_conv(x, kernel, beta), gamma, beta, 1e-6)
        return kernels.gate(x, y, keras.activations.gelu).sum()

    def plain(x):
        y = ops.depthwise_conv(x, kernel, padding="same", data_format="channels_last") + beta
        y = ops.layer_normalization(y, gamma, beta, axis=-1, epsilon=1e-6)
        return (x * keras.activations.gelu(y)).sum()

    second = [jax.grad(lambda x, f=f: (jax.grad(f)(x) ** 2).sum())(x) for f in (fast, plain)]
    np.testing.assert_allclose(*second, rtol=1e-3, atol=1e-3)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(fast, (x,), (x,))


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch says what it keeps")
@pytest.mark.parametrize(("rematerialize", "most"), [(False, 8.5), (True, 1.0)])
def test_what_a_block_keeps_for_the_backward_pass(rematerialize, most):
    """In units of its input: 13.7 if the gate kept its activations and products."""
    import torch

    with composite.rematerialized(rematerialize):
        block = GatedCNNBlock(drop_path_rate=0.1)
    x = torch.ones((1, 16, 16, 24), requires_grad=True)
    block.build(x.shape)
    weights, kept = {weight.value.untyped_storage().data_ptr() for weight in block.weights}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.numel() >= x.numel():
            kept[storage.data_ptr()] = tensor  # alive, so that no other one gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x, training=True)
    assert sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) <= most * x.nbytes


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow differentiates the operations of the gradient")
def test_gradients_of_gradients_of_the_gate():
    rng = np.random.default_rng(8)
    x, gate, kernel = (rng.normal(size=shape).astype("float32") for shape in ((2, 3, 4), (2, 3, 4), (4, 5)))
    second = [_second(function, x, gate, kernel) for function in (kernels.gated_matmul, keras_kernels.gated_matmul)]
    for value, expected in zip(*second, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def _second(function, *arrays):
    def total(*tensors):
        return (function(*tensors, keras.activations.gelu) ** 2).sum()

    if BACKEND == "jax":
        import jax

        return jax.grad(lambda *a: sum((g**2).sum() for g in jax.grad(total, (0, 1, 2))(*a)), (0, 1, 2))(*arrays)
    import torch

    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    first = torch.autograd.grad(total(*tensors), tensors, create_graph=True)
    return [grad.numpy() for grad in torch.autograd.grad(sum((grad**2).sum() for grad in first), tensors)]
