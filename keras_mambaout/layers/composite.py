"""The base of layers that are made of layers: how they are saved when quantized, and computed anew to save memory."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras

CALLS_TAKE_TIME = keras.backend.backend() == "torch"
DIRECT: set[type] = set()


def directly_called(cls: type) -> type:
    """Decorates a class of layers that `CompositeLayer.inner` may call directly."""
    DIRECT.add(cls)
    return cls


class CompositeLayer(keras.layers.Layer):
    """Base of the layers that make layers in `build`, which `not_rematerialized` decorates.

    - After `model.quantize`, the configuration has the dtype policies of the layers inside, as in Keras' own
      `MultiHeadAttention`.
    - In a `keras.RematScope`, the layer is computed anew as a whole, and the layers inside are not once more. Keras'
      way fails with arguments such as `training`: on TensorFlow always, on JAX where it is asked for.
      What draws random numbers or counts averages (`recomputable = False`) is not computed anew: it would do so twice.
    """

    recomputable = True

    def inner(self, layer: keras.layers.Layer, inputs: Any, **kwargs: Any) -> Any:
        """Returns `layer(inputs, **kwargs)`, of a layer that was made in `build`.

        PyTorch runs a network call by call, and around each, Keras prepares for what our small layers have not: masks,
        quantization, regularizers. That takes 35 us, of small images more than computing, so `call` is called directly.
        Not that of subclasses or other layers which users may have put in their place, or with a dtype of its own.
        """
        if CALLS_TAKE_TIME and type(layer) in DIRECT and layer.compute_dtype == self.compute_dtype:
            return layer.call(inputs, **kwargs)
        return layer(inputs, **kwargs)

    def dtype_of(self, name: str) -> keras.DTypePolicy:
        """Returns the dtype policy of the dense layer `name` that `build` makes: quantized if it was when saved.

        Keras' dense layers find their own policy in a map, but do not save what they hold with one.
        """
        policy = self.dtype_policy
        return policy[f"{self.path}/{name}"] if isinstance(policy, keras.dtype_policies.DTypePolicyMap) else policy

    def get_config(self) -> dict[str, Any]:
        policy = saved_dtype(self)
        if isinstance(policy, keras.dtype_policies.DTypePolicyMap):  # a head may have been given the layers of another
            own = {f"{self.path or self.name}/{path.rpartition('/')[2]}": part for path, part in policy.items()}
            policy = keras.dtype_policies.DTypePolicyMap(policy.default_policy.name, own)
        return {**super().get_config(), "dtype": keras.dtype_policies.serialize(policy)}

    def rematerialized_call(self, layer_call: Callable, *args: Any, **kwargs: Any) -> Callable:
        call = not_rematerialized(functools.partial(layer_call, **kwargs))
        if args and self.recomputable:
            call = super().rematerialized_call(call, *args)
        return lambda *args, **kwargs: call(*args)


def rematerialized(wanted: bool = True) -> contextlib.AbstractContextManager:
    """Returns the context in which models are made whose layers are computed anew, or one that does nothing."""
    return keras.RematScope() if wanted else contextlib.nullcontext()


def not_rematerialized(function: Callable) -> Callable:
    """Decorates a function: no layer that it makes, and no operation that it calls, is computed anew by itself."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with keras.RematScope(mode=None):
            return function(*args, **kwargs)

    return wrapper


def check_dtype(dtype: Any) -> keras.DTypePolicy:
    """Returns the dtype policy meant by `dtype`; `None` is Keras' global one."""
    try:
        return keras.dtype_policies.get(keras.config.dtype_policy() if dtype is None else dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`dtype` must be a Keras dtype policy such as 'float32', 'mixed_bfloat16' or 'mixed_float16', "
            f"got {dtype!r}."
        ) from error


def saved_dtype(layer: keras.layers.Layer) -> keras.DTypePolicy:
    """Returns the dtype policy to save with a layer or model: if layers inside are quantized, a map with theirs."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        policy = policy.default_policy
    quantized = {part.path: part.dtype_policy for part in layer._flatten_layers() if part.quantization_mode}
    return keras.dtype_policies.DTypePolicyMap(policy.name, quantized) if quantized else policy
