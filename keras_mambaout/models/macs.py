"""Counts the multiply-accumulates of a model."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

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
    positions = math.prod(input_shape[:-1])
    conv = 0 if layer.conv is None else layer.conv_dim * layer.kernel_size**2
    return positions * (dense + conv) + (0 if layer.ssm is None else layer.ssm.count_macs(positions))


def _state_space(layer, input_shape, output_shape):
    return layer.count_macs(math.prod(input_shape[:-1]))


COUNTED = {  # each with all that is called inside it
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
    layers.SelectiveSSM: _state_space,
    layers.SelectiveScan2D: _state_space,
}
FREE = (  # they have weights, but are neither convolutions nor linear layers
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    layers.LayerScale,
)


def count_macs(layer: keras.Layer, *input_shapes: Any, **options: Any) -> int:
    """Returns the multiply-accumulates of one forward pass, those of convolutions and linear layers.

    `dense: B * inputs * units`; `convolution: B * H_out * W_out * filters * k * k * channels / groups`. Norms,
    activations, pooling, resizing and RoIAlign count as 0, as in fvcore and mmdet. A state space model counts its
    projections and three for each state (`SelectiveSSM.count_macs`). Layers that a model lists in
    `training_only`, such as the auxiliary head of a `UperNet`, need not be called. The layer is called
    without values, so large images take no longer than small ones; on PyTorch, loops that depend on values are
    computed.

    Args:
        layer: Any layer or model. It is built if it is not yet.
        *input_shapes: Shape of each argument of its call, with the batch; a list or a dict of shapes for a
            list or a dict of tensors.
        **options: Other arguments of its call, such as `detect=True` of a `MaskRCNN`.

    Returns:
        An integer.

    Raises:
        ValueError: If a size is not a positive integer, or some weights are in no layer that is called and known here.

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
    calls: list[tuple[keras.Layer, int]] = []
    with _watched(layer, calls):
        _Traced(layer, options, calls)(inputs)
    _check_all_known(calls)
    return sum(count for _, count in calls)


class _Traced(keras.layers.Layer):
    """Calls a layer. It does not declare the shape of its output, so Keras runs `call` without values to find it."""

    def __init__(self, layer, options, calls):
        super().__init__()
        self.layer, self.options = layer, options
        self.forget = calls.clear

    def call(self, inputs):
        self.forget()  # Keras may run this more than once
        return self.layer(*inputs, **self.options)


@contextlib.contextmanager
def _watched(layer: keras.Layer, calls: list[tuple[keras.Layer, int]]) -> Iterator[None]:
    """Meanwhile, each call of the layer or one inside it adds `(layer, count)` to `calls`, the innermost first.

    Each of these objects gets a `call` of its own for that time; classes stay as they are.
    """
    counted: list[keras.Layer] = []  # the counted layer that is being called, whose parts are in its count
    before = {id(part): (part, vars(part).get("call")) for part in _parts([layer])}

    def watch(part: keras.Layer) -> Callable[..., Any]:
        call, count = part.call, next((count for type_, count in COUNTED.items() if isinstance(part, type_)), None)

        def watched(*args, **kwargs):
            if counted:
                return call(*args, **kwargs)
            if count is not None:
                counted.append(part)
            try:
                outputs = call(*args, **kwargs)
            finally:
                counted.clear()
            calls.append((part, count(part, _first(args, kwargs).shape, outputs.shape) if count else 0))
            return outputs

        return watched

    try:
        for part, _ in before.values():
            part.call = watch(part)
        yield
    finally:
        for part, call in before.values():
            if call is not None:
                part.call = call
            elif "call" in vars(part):
                del part.call


def _parts(values: Iterable[Any], seen: set[int] | None = None) -> Iterator[keras.Layer]:
    """Yields the layers among values, in lists and dicts too, and the layers inside them, each once."""
    seen = set() if seen is None else seen
    for value in values:
        if isinstance(value, (keras.Layer, dict, list, tuple, set)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, keras.Layer):
                yield value
                yield from _parts(list(vars(value).values()), seen)
            else:
                yield from _parts(list(value.values() if isinstance(value, dict) else value), seen)


def _check_all_known(calls):
    """Raises an error if a weight is in no layer that is counted, free or for training: none is left out silently."""
    known = [layer for layer, _ in calls if isinstance(layer, (*COUNTED, *FREE))]
    known += [part for layer, _ in calls for part in getattr(layer, "training_only", ())]
    known = {id(weight) for layer in known for weight in layer.weights}
    for layer, _ in calls:
        unknown = [weight.path for weight in layer.weights if id(weight) not in known]
        if unknown:
            raise ValueError(
                f"Cannot count the multiply-accumulates of {type(layer).__name__} {layer.name!r}: its weights "
                f"{', '.join(unknown[:3])} are in no layer that is called and known. Known are "
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
            f"Input shapes must be positive integers, with the batch, such as (1, 224, 224, 3); got {shape!r}."
        )
    return keras.KerasTensor(tuple(shape))
