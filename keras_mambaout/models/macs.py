"""How many multiply-accumulates a model takes."""

import math
from unittest import mock

import keras

from keras_mambaout import layers


def _dense(layer, input_shape, output_shape):
    return math.prod(input_shape) * layer.units


def _conv(layer, input_shape, output_shape):
    return math.prod(output_shape) * math.prod(layer.kernel.shape[:-1])  # (*sides, channels / groups, filters)


def _depthwise_conv(layer, input_shape, output_shape):
    return math.prod(output_shape) * math.prod(layer.kernel.shape[:-2])  # (*sides, channels, multiplier)


def _conv_transpose(layer, input_shape, output_shape):
    return math.prod(input_shape) * math.prod(layer.kernel.shape[:-1])  # (*sides, filters, channels)


def _einsum_dense(layer, input_shape, output_shape):
    inputs, kernel = layer.equation.split("->")[0].split(",")
    return math.prod(input_shape) * math.prod(
        size for label, size in zip(kernel, layer.kernel.shape, strict=True) if label not in inputs
    )


def _gated_cnn_block(layer, input_shape, output_shape):
    dense = 3 * layer.hidden_dim * input_shape[-1]  # fc1 has two times, fc2 once the hidden channels
    return math.prod(input_shape[:-1]) * (dense + layer.conv_dim * layer.kernel_size**2)


COUNTED = {  # with what is called inside of them
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum_dense,
    keras.layers.Conv1D: _conv,
    keras.layers.Conv2D: _conv,
    keras.layers.Conv3D: _conv,
    keras.layers.DepthwiseConv1D: _depthwise_conv,
    keras.layers.DepthwiseConv2D: _depthwise_conv,
    keras.layers.Conv1DTranspose: _conv_transpose,
    keras.layers.Conv2DTranspose: _conv_transpose,
    keras.layers.Conv3DTranspose: _conv_transpose,
    layers.StridedConv2D: _conv,
    layers.DepthwiseConv2D: _depthwise_conv,
    layers.GatedCNNBlock: _gated_cnn_block,
}
FREE = (  # with weights, but neither a convolution nor linear
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    layers.LayerScale,
)


def count_macs(layer, *input_shapes, **options):
    """Returns the multiply-accumulates of one forward pass, those of convolutions and linear layers.

    `dense: B * inputs * units`; `convolution: B * H_out * W_out * filters * k * k * channels / groups`. Norms,
    activations, pooling, resizing and RoIAlign count as 0, as fvcore and mmdet count them. Layers that a model names in
    `training_only`, such as the auxiliary head of a `UperNet`, need not be called. The layer is called
    without values, so that large images take no longer; only PyTorch computes a layer whose loops depend on values.

    Args:
        layer: Any layer or model. It is built if it was not.
        *input_shapes: Shape of each argument of its call, with the batch; a list or a dict of shapes for a
            list or a dict of tensors.
        **options: Other arguments of its call, such as `detect=True` of a `MaskRCNN`.

    Returns:
        An integer.

    Raises:
        ValueError: If a size is no positive integer, or weights are in no layer that is called and known here.

    Example:
    ```python
    count_macs(keras_mambaout.create_model("mambaout_tiny", weights=None), (1, 224, 224, 3)) / 1e9  # 4.5
    ```

    Source: [fvcore's flop counter](https://github.com/facebookresearch/fvcore/blob/main/docs/flop_count.md), which
    counts one multiply-accumulate as one flop
    """
    inputs = [_symbolic(shape) for shape in input_shapes]
    if not layer.built:
        layer(*inputs, **options)
    watch = _Watch()
    with mock.patch.object(keras.layers.Layer, "__call__", watch.method(keras.layers.Layer.__call__)):
        _Traced(layer, options, watch)(inputs)
    _check_all_known(watch.calls)
    return sum(count for _, count in watch.calls)


class _Traced(keras.layers.Layer):
    """Calls a layer. It says nothing of its output's shape, so Keras finds it by running `call` without values."""

    def __init__(self, layer, options, watch):
        super().__init__()
        self.layer, self.options, self.watch = layer, options, watch

    def call(self, inputs):
        self.watch.start()  # Keras may run this more than once
        return self.layer(*inputs, **self.options)


class _Watch:
    """Notes the layers that are called and what they take, `(layer, count)`, the innermost first."""

    def __init__(self):
        self.start()

    def start(self):
        self.calls, self.inside_counted = [], False

    def method(self, call_layer):
        """Returns what `Layer.__call__` is to be meanwhile."""

        def watched(layer, *args, **kwargs):
            if self.inside_counted or isinstance(layer, _Traced):
                return call_layer(layer, *args, **kwargs)
            count = next((count for type_, count in COUNTED.items() if isinstance(layer, type_)), None)
            self.inside_counted = count is not None
            outputs = call_layer(layer, *args, **kwargs)
            self.inside_counted = False
            self.calls.append((layer, count(layer, _first(args, kwargs).shape, outputs.shape) if count else 0))
            return outputs

        return watched


def _check_all_known(calls):
    """Every weight must be in a layer that is counted, free or for training: nothing is left out unnoticed."""
    known = [layer for layer, _ in calls if isinstance(layer, (*COUNTED, *FREE))]
    known += [part for layer, _ in calls for part in getattr(layer, "training_only", ())]
    known = {id(weight) for layer in known for weight in layer.weights}
    for layer, _ in calls:
        unknown = [weight.path for weight in layer.weights if id(weight) not in known]
        if unknown:
            raise ValueError(
                f"Cannot count the multiply-accumulates of {type(layer).__name__} {layer.name!r}: no layer that is "
                f"called and known has its weights {', '.join(unknown[:3])}. Known are "
                f"{', '.join(sorted({type_.__name__ for type_ in (*COUNTED, *FREE)}))}."
            )


def _first(args, kwargs):
    return args[0] if args else kwargs["inputs"]


def _symbolic(shape):
    if isinstance(shape, dict):
        return {key: _symbolic(value) for key, value in shape.items()}
    if isinstance(shape, (list, tuple)) and all(isinstance(value, (list, tuple, dict)) for value in shape):
        return [_symbolic(value) for value in shape]
    if not isinstance(shape, (list, tuple)) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            f"Input shapes must be of positive integers, with the batch, such as (1, 224, 224, 3); got {shape!r}."
        )
    return keras.KerasTensor(tuple(shape))
