"""A block's fast form, and the direct calls inside it, against the formula where Keras changes what its layers are."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.layers import DepthwiseConv2D, GatedCNNBlock, composite
from keras_mambaout.layers.common import LayerNorm

pytestmark = pytest.mark.usefixtures("optimized")
SHAPE = (2, 6, 5, 8)


class Formula(GatedCNNBlock):
    """The block with the formula's own layers, each called as Keras calls layers."""

    def _gated_fast(self, x, training):
        return self._gated(x)

    def inner(self, layer, inputs, **kwargs):
        return layer(inputs, **kwargs)


def blocks(dtype="float32", classes=(GatedCNNBlock, Formula), **arguments):
    """A block and its formula with the same drawn weights."""
    pair = [cls(layer_scale_init=0.5, dtype=dtype, **arguments) for cls in classes]
    rng = np.random.default_rng(0)
    for block in pair:
        block.build(SHAPE)
    for weights in zip(*(block.trainable_weights for block in pair), strict=True):
        value = rng.normal(size=weights[0].shape) * 0.3
        for weight in weights:
            weight.assign(value)
    return pair


def images():
    return np.random.default_rng(1).normal(size=SHAPE).astype("float32")


def assert_same(pair, x, tolerance=1e-5, **kwargs):
    output, expected = (ops.convert_to_numpy(ops.cast(block(x, **kwargs), "float32")) for block in pair)
    assert np.linalg.norm(output - expected) <= tolerance * np.linalg.norm(expected)
    return output


@pytest.mark.parametrize("token_mixer", ["conv", "causal_conv", "identity"])
@pytest.mark.parametrize("activation", ["gelu", "silu", "relu", "linear"])
def test_every_activation_and_mixer(activation, token_mixer):
    """A linear gate is its own input, which must not be overwritten."""
    pair = blocks(activation=activation, token_mixer=token_mixer)
    assert_same(pair, images())
    assert_same(pair, images(), training=True)


def test_without_gradients():
    """PyTorch computes the gate in place then."""
    pair, x = blocks(), images()
    expected = assert_same(pair, x)
    if keras.backend.backend() == "torch":
        import torch

        with torch.no_grad():
            np.testing.assert_allclose(assert_same(pair, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "float16", "float64"])
def test_other_dtypes(dtype):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is told to")
    pair = blocks(dtype)
    x = ops.cast(images(), keras.DTypePolicy(dtype).compute_dtype)
    assert keras.backend.standardize_dtype(pair[0](x).dtype) == keras.DTypePolicy(dtype).compute_dtype
    assert_same(pair, x, 1e-5 if dtype == "float64" else 5e-2)


def test_lora_is_in_the_kernels():
    pair, x = blocks(), images()
    before = assert_same(pair, x)
    for block in pair:
        for layer in (block.fc1, block.fc2):
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(0.1 * np.ones(layer.lora_kernel_b.shape))
            layer.lora_kernel_a.assign(0.1 * np.ones(layer.lora_kernel_a.shape))
    assert np.abs(assert_same(pair, x) - before).max() > 0.01


def test_quantized_blocks():
    pair, x = blocks(), images()
    before = assert_same(pair, x)
    for block in pair:
        for layer in (block.fc1, block.fc2):
            layer.quantize("int8")
    assert np.abs(assert_same(pair, x) - before).max() > 1e-4


def test_another_layer_in_a_layers_place_is_called_as_keras_calls_it():
    """A subclass with a call of its own, and a layer with a dtype of its own."""
    calls = []

    class Counted(DepthwiseConv2D):
        def __call__(self, *args, **kwargs):
            calls.append(self.name)
            return super().__call__(*args, **kwargs)

        def call(self, inputs):
            return 2.0 * super().call(inputs)

    class Changed:
        def build(self, input_shape):
            super().build(input_shape)
            self.conv = Counted(7, name="conv")
            self.conv.build((*input_shape[:-1], self.conv_dim))

    pair = blocks(classes=[type("Changed", (Changed, cls), {}) for cls in (GatedCNNBlock, Formula)])
    calls.clear()
    assert_same(pair, images())
    assert calls == ["conv", "conv"]
    norm = LayerNorm(dtype="float16")
    assert keras.backend.standardize_dtype(pair[0].inner(norm, ops.convert_to_tensor(images())).dtype) == "float16"


def test_blocks_computed_anew():
    with composite.rematerialized():
        pair = blocks(drop_path_rate=0.0)
    assert_same(pair, images(), training=True)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others differentiate the operations of the formula")
@pytest.mark.parametrize("activation", ["gelu", "relu", "linear"])
def test_gradients_twice_and_gradients_of_gradients_on_pytorch(activation):
    """A second backward pass finds what the first one read; a gradient of a gradient takes another path."""
    import torch

    results = []
    for block in blocks(activation=activation):
        x = torch.tensor(images(), requires_grad=True)
        inputs = [x, *(weight.value for weight in block.trainable_weights)]
        total = (block(x, training=True) ** 2).sum()
        once, again = (torch.autograd.grad(total, inputs, retain_graph=True) for _ in range(2))
        for one, other in zip(once, again, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        first = torch.autograd.grad(total, inputs, create_graph=True)
        second = torch.autograd.grad(sum((grad**2).sum() for grad in first), inputs, allow_unused=True)
        results.append([*once, *first, *(grad for grad in second if grad is not None)])
    for value, expected in zip(*results, strict=True):
        assert torch.linalg.vector_norm(value - expected) <= 1e-4 * torch.linalg.vector_norm(expected)
