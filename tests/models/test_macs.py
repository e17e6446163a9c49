"""Multiply-accumulates against counts by hand, and against those of the paper."""

import keras
import pytest

import keras_mambaout
from keras_mambaout import layers
from keras_mambaout.models.macs import count_macs


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (keras.layers.Dense(5), (2, 3), 2 * 3 * 5),
        (keras.layers.EinsumDense("bhwc,cijd->bhiwjd", (7, 2, 8, 2, 5)), (2, 7, 8, 3), 2 * 7 * 8 * 3 * 4 * 5),
        (keras.layers.Dense(5, use_bias=False), (2, 7, 8, 3), 2 * 7 * 8 * 3 * 5),
        (keras.layers.Conv2D(6, 3), (2, 9, 8, 4), 2 * 7 * 6 * 6 * 9 * 4),
        (keras.layers.Conv2D(6, 3, strides=2, padding="same"), (1, 9, 8, 4), 5 * 4 * 6 * 9 * 4),
        (keras.layers.Conv2D(6, (1, 5), groups=2, padding="same"), (1, 9, 8, 4), 9 * 8 * 6 * 5 * 2),
        (keras.layers.Conv1D(6, 3), (1, 9, 4), 7 * 6 * 3 * 4),
        (keras.layers.DepthwiseConv2D(3), (1, 9, 8, 4), 7 * 6 * 4 * 9),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (1, 9, 8, 4), 7 * 6 * 8 * 9),
        (keras.layers.Conv2DTranspose(6, 2, strides=2), (3, 9, 8, 4), 3 * 9 * 8 * 6 * 4 * 4),
        (layers.StridedConv2D(6), (1, 9, 8, 4), 5 * 4 * 6 * 9 * 4),
        (layers.DepthwiseConv2D(7), (2, 9, 8, 4), 2 * 9 * 8 * 4 * 49),
        (layers.Stem(8, mid_norm=True), (1, 16, 12, 3), 8 * 6 * 4 * 9 * 3 + 4 * 3 * 8 * 9 * 4),
        (layers.Downsample(8), (1, 8, 6, 4), 4 * 3 * 8 * 9 * 4),
        (layers.ClassifierHead(10), (2, 7, 7, 6), 2 * (6 * 24 + 24 * 10)),
        (layers.GatedCNNBlock(), (1, 5, 4, 6), 20 * (6 * 32 + 6 * 49 + 16 * 6)),
        (layers.GatedCNNBlock(2.0, 0.5, 3, layer_scale_init=1.0), (2, 5, 4, 6), 40 * (6 * 24 + 3 * 9 + 12 * 6)),
        (keras.layers.BatchNormalization(), (2, 5, 4, 6), 0),
        (keras.layers.Activation("gelu"), (2, 5, 4, 6), 0),
        (keras.layers.UpSampling2D(), (2, 5, 4, 6), 0),
    ],
)
@pytest.mark.first_on("torch")
def test_by_hand(layer, shape, expected):
    count = count_macs(layer, shape)
    assert count == expected and isinstance(count, int)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("mambaout_femto", 1.2), ("mambaout_tiny", 4.5), ("mambaout_small", 9.0), ("mambaout_base", 15.8)],
)
@pytest.mark.first_on("torch")
def test_the_papers_numbers(variant, expected):
    model = keras_mambaout.create_model(variant, weights=None)
    count = count_macs(model, (1, 224, 224, 3)) / 1e9
    assert count == pytest.approx(expected, rel=0.01, abs=0.06)  # printed with one digit, and with norms
    assert count_macs(model.get_layer("stages_0_blocks_0"), (1, 56, 56, model.config.dims[0])) < count * 1e8


def test_size_and_batch():
    backbone = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
    small = count_macs(backbone, (1, 64, 96, 3))
    assert count_macs(backbone, (3, 128, 192, 3)) == 12 * small


def test_quantized_blocks_count_the_same():
    """They call the layers whose kernels they otherwise slice."""
    block = layers.GatedCNNBlock()
    plain = count_macs(block, (1, 5, 4, 6))
    for layer in (block.fc1, block.fc2):
        layer.quantize("int8")
    assert count_macs(block, (1, 5, 4, 6)) == plain


@pytest.mark.first_on("torch")
def test_models_within_models():
    """Functional, sequential and nested; a layer that is called twice counts twice."""
    shared = keras.layers.Dense(4)
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(4)])
    x = inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(inner(shared(x))))
    assert count_macs(model, (2, 4)) == 2 * (16 + 12 + 12 + 16)


class Sum(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.second = keras.layers.Dense(2), keras.layers.Dense(2)

    def build(self, input_shape):
        self.first.build(input_shape["a"])
        self.second.build(input_shape["b"][0])

    def call(self, inputs, twice=False):
        return self.first(inputs["a"]) + self.second(inputs=inputs["b"][0]) * (self.first(inputs["a"]) if twice else 1)


def test_structures_of_inputs_and_options():
    layer, shapes = Sum(), {"a": (1, 3), "b": [(1, 5)]}
    assert count_macs(layer, shapes) == 6 + 10
    assert count_macs(layer, shapes, twice=True) == 6 + 6 + 10
    assert count_macs(keras.layers.Concatenate(), [(1, 3), (1, 4)]) == 0


def test_values_stay_as_they_are():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4))
    before = [weight.numpy().tolist() for weight in layer.weights]
    count_macs(layer, (8, 4), training=True)
    assert [weight.numpy().tolist() for weight in layer.weights] == before


def test_layers_are_left_as_they_were():
    """Their `call` is watched meanwhile, also if the model fails."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    count_macs(model, (1, 4))
    unknown = keras.Sequential([keras.Input((5, 2)), keras.layers.LSTM(3)])
    with pytest.raises(ValueError, match="LSTM"):
        count_macs(unknown, (1, 5, 2))
    with pytest.raises(ValueError, match=r"exception encountered|incompatible|shape"):
        count_macs(model, (1, 5))
    for layer in (model, model.layers[0], unknown, unknown.layers[0]):
        assert "call" not in vars(layer)


class Slices(keras.layers.Layer):
    """Computes with a sublayer's kernel without calling it, which nobody but its author knows."""

    def build(self, input_shape):
        self.dense = keras.layers.Dense(3)
        self.dense.build(input_shape)

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.dense.kernel)


@pytest.mark.parametrize(
    ("layer", "shape", "name"),
    [
        (keras.layers.LSTM(3), (1, 5, 2), "LSTM(Cell)?"),
        (Slices(), (1, 4), "Slices"),
    ],
)
def test_unknown_layers(layer, shape, name):
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    with pytest.raises(ValueError, match=rf"multiply-accumulates of {name} .*kernel.* Known are .*Dense"):
        count_macs(model, shape)


@pytest.mark.parametrize("shape", [(None, 4), (0, 4), (1.5, 4), 7, "large"])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match=r"positive integers, with the batch, .*got"):
        count_macs(keras.layers.Dense(3), shape)
