"""Models by name: `create_model`, and a function a variant with the habits of `keras.applications`."""

import fnmatch
import inspect

import keras

from keras_mambaout.config import VARIANTS
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.weights.pretrained import resolve_weights


def list_models(pattern="*"):
    """Names of the variants that match a shell pattern, e.g. `list_models("*rw*")`."""
    return fnmatch.filter(VARIANTS, pattern)


def create_model(
    variant,
    include_top=True,
    include_preprocessing=True,
    weights="imagenet",
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    drop_path_rate=0.0,
    dropout_rate=0.0,
    name=None,
    dtype=None,
):
    """Builds a MambaOut model by name.

    Args:
        variant: One of `list_models()`.
        include_top: Whether the classifier head is part of the model. Without it the model is a
            `MambaOutBackbone`.
        include_preprocessing: Whether 0-255 RGB goes in and is normalised inside the model;
            otherwise use `preprocess_input` first.
        weights: `None` (random), `"imagenet"` (downloaded once from the Hugging Face hub), a tag of
            `list_weights()`, or a path to a `.safetensors`, `.weights.h5` or the authors'
            `.pth` file. With `classes` other than the file's, the backbone and the head's hidden
            layer are loaded and the last layer is fresh; with other than 3 input channels the first
            kernel is adapted (1: summed over RGB; others: RGB repeated and scaled). Both are logged.
        input_tensor: Optional Keras tensor to use as image input; the model then is a plain
            `keras.Model` from that tensor's own inputs, with this model as one of its layers.
        input_shape: Shape of an image without the batch; height and width 32 or more, or `None` for
            any size. Default `(None, None, 3)`.
        pooling: Output without the top: `None` features `(B, H / 32, W / 32, C)`, `"avg"` or `"max"`
            their average or maximum over the image `(B, C)`.
        classes: Number of classes.
        classifier_activation: Activation of the output; `None` for logits.
        drop_path_rate: Stochastic depth while training, in `[0, 1)`.
        dropout_rate: Dropout before the last layer while training, in `[0, 1)`.
        name: Name of the model; default the variant's.
        dtype: Dtype policy, such as `"mixed_bfloat16"`; default Keras' global one.

    Returns:
        A `MambaOutClassifier`, or a `MambaOutBackbone` with `include_top=False`.

    Raises:
        ValueError: If an argument is outside of what is listed above, or a file does not fit.
        DownloadError: If published weights are neither in the cache nor can be downloaded.

    Example:
    ```python
    model = keras_mambaout.MambaOutTiny(weights="imagenet")
    probabilities = model.predict(images)  # (B, 224, 224, 3), 0-255 -> (B, 1000)
    ```

    Source: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992).
    """
    if input_tensor is not None:
        input_shape = _shape_of(input_tensor, input_shape)
    name = name or variant
    weights = resolve_weights(weights, variant)
    model = MambaOutBackbone(
        variant,
        input_shape=input_shape,
        include_preprocessing=include_preprocessing,
        weights=None if include_top else weights,
        pooling=pooling,
        drop_path_rate=drop_path_rate,
        dtype=dtype,
        name=f"{name}_backbone" if include_top else name,
    )
    if include_top:
        model = MambaOutClassifier(model, classes, classifier_activation, dropout_rate, weights, name=name)
    if input_tensor is None:
        return model
    inputs = keras.utils.get_source_inputs(input_tensor)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, model(input_tensor), name=name)


def _shape_of(input_tensor, input_shape):
    if not isinstance(input_tensor, keras.KerasTensor):
        raise ValueError(f"`input_tensor` must be a Keras tensor, such as keras.Input(...), got {type(input_tensor)}.")
    shape = tuple(input_tensor.shape[1:])
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(f"`input_shape` {input_shape} differs from the shape of `input_tensor`, {shape}: give one.")
    return shape


def _named(function_name, variant):
    """Returns `create_model` for one variant, as a function of its own name, signature and doc."""

    def named(*args, **kwargs):
        return create_model(variant, *args, **kwargs)

    signature = inspect.signature(create_model)
    parameters = [p.replace(default=variant) if p.name == "name" else p for p in signature.parameters.values()]
    config = VARIANTS[variant]
    _, first_argument, rest = (create_model.__doc__ or "").partition("        include_top:")
    named.__name__ = named.__qualname__ = function_name
    named.__signature__ = signature.replace(parameters=parameters[1:])
    named.__doc__ = (
        f"Builds {variant}: {config.depths} blocks of {config.dims} channels.\n\n    Args:\n{first_argument}{rest}"
    )
    return named


MambaOutFemto = _named("MambaOutFemto", "mambaout_femto")
MambaOutKobe = _named("MambaOutKobe", "mambaout_kobe")
MambaOutTiny = _named("MambaOutTiny", "mambaout_tiny")
MambaOutSmall = _named("MambaOutSmall", "mambaout_small")
MambaOutBase = _named("MambaOutBase", "mambaout_base")
MambaOutSmallRW = _named("MambaOutSmallRW", "mambaout_small_rw")
MambaOutBaseShortRW = _named("MambaOutBaseShortRW", "mambaout_base_short_rw")
MambaOutBaseTallRW = _named("MambaOutBaseTallRW", "mambaout_base_tall_rw")
MambaOutBaseWideRW = _named("MambaOutBaseWideRW", "mambaout_base_wide_rw")
MambaOutBasePlusRW = _named("MambaOutBasePlusRW", "mambaout_base_plus_rw")
