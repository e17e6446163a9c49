"""Which models can be compared, and how they are built."""

import os
from typing import Any

import keras

from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import create_model
from keras_mambaout.models.saved import load_model, names_saved_model
from keras_mambaout.weights.pretrained import PublishedWeights, resolve_weights

DEFAULT_SIZE = 224
MIN_SIZE = 32
SIZES = ("image_size", "crop_size", "shortest_edge")  # of a model's `inference_settings`
RATES = ("rate", "dropout_rate", "drop_path_rate")  # of what each backend would draw differently


def build_model(
    model: str, size: int | None, weights: str | os.PathLike | None = None, token_mixer: str = "conv"
) -> keras.Model:
    """Builds a model, or loads a saved one; dropout and drop path are off.

    Args:
        model: A name of `list_models()`, built with logits as output; a model of
            `keras.applications`, such as `"ConvNeXtTiny"`; or an address for `load_model`.
        size: Height and width of the images; `None` for any size where the model can take it.
        weights, token_mixer: As for `create_model`; for the models of `list_models()`.

    Raises:
        ValueError: If there is no such model, or the file cannot be loaded.
    """
    if names_saved_model(model):
        return without_dropout(_load(model))
    if model in VARIANTS:
        shape = (size, size, 3)
        return create_model(
            model, weights=weights, input_shape=shape, classifier_activation=None, token_mixer=token_mixer
        )
    application = getattr(keras.applications, model, None)
    if application is None or not model[0].isupper():
        raise ValueError(
            f"There is no model {model!r}: give one of {', '.join(VARIANTS)}, a model of keras.applications "
            "such as ConvNeXtTiny, the path of a .keras file, or hf://user/repo."
        )
    shape = (size or DEFAULT_SIZE, size or DEFAULT_SIZE, 3)
    return without_dropout(application(weights=None, input_shape=shape, classifier_activation=None))


def without_dropout(model: keras.Model) -> keras.Model:
    """Returns the model with dropout and drop path switched off: each backend would drop something else."""
    config = model.get_config()
    calm = _without_rates(config)
    if calm == config:
        return model
    twin = type(model).from_config(calm)
    twin.set_weights(model.get_weights())
    return twin


def image_shape(network: keras.Model, model: str, size: int | None, settings: Any) -> tuple[int, int, int]:
    """Returns `(H, W, C)` of the images that a model is compared with.

    Args:
        network: Functional model that takes the images.
        model: What the user gave as model, for messages.
        size: What the user gave as size.
        settings: The model's `inference_settings`, or `None`.

    Raises:
        ValueError: If the model takes no such images.
    """
    *fixed, channels = network.inputs[0].shape[1:]
    if None in fixed:
        known = (getattr(settings, name, None) for name in SIZES)
        known = (min(side) if isinstance(side, tuple) else side for side in known)
        size = size or next((side for side in known if isinstance(side, int)), DEFAULT_SIZE)
        if size < MIN_SIZE:
            raise ValueError(f"`size` must be {MIN_SIZE} or more, got {size}.")
        return size, size, channels
    height, width = fixed
    if height != width:
        raise ValueError(f"{model} takes images of {height} x {width} pixels; only square ones can be compared.")
    if size not in (None, height):
        raise ValueError(f"{model} takes images of {height} x {width} pixels, got size={size}: leave out `size`.")
    return height, width, channels


def precision_of(network: keras.Model) -> str:
    """Returns the precision, `"float32"` or `"mixed_bfloat16"`, whose tolerances fit a saved model."""
    return "float32" if all(layer.compute_dtype == "float32" for layer in network.layers) else "mixed_bfloat16"


def weights_name(model: str, weights: str | os.PathLike | None) -> str:
    """Returns where a model's weights are from: a saved model, published ones by name, a file, or `"drawn"`."""
    if names_saved_model(model):
        return model
    if weights is None:
        return "drawn"
    source = resolve_weights(weights, model)
    return source.name if isinstance(source, PublishedWeights) else str(source)


def _load(path):
    try:
        return load_model(path)
    except TypeError as error:  # a class that Keras cannot find
        raise ValueError(f"{path} cannot be loaded: {str(error).strip().splitlines()[0]}") from error


def _without_rates(config):
    if isinstance(config, dict):
        return {
            key: 0.0 if key in RATES and isinstance(value, float) else _without_rates(value)
            for key, value in config.items()
        }
    return type(config)(map(_without_rates, config)) if isinstance(config, (list, tuple)) else config
