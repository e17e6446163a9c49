"""Models by name: which there are, and `create_model`, which builds them."""

import fnmatch
import os
from collections.abc import Callable, Sequence

import keras

from keras_mambaout.config import VARIANTS, resolve_config
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.weights.loader import fill
from keras_mambaout.weights.pretrained import resolve_weights


def list_models(pattern: str = "*") -> list[str]:
    """Returns the names of the variants that match a shell pattern, such as `list_models("*rw*")`."""
    return fnmatch.filter(VARIANTS, pattern)


def create_model(
    variant: str,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | os.PathLike | None = "imagenet",
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    drop_path_rate: float = 0.0,
    dropout_rate: float = 0.0,
    name: str | None = None,
    dtype: str | keras.DTypePolicy | None = None,
    rematerialize: bool = False,
    token_mixer: str = "conv",
) -> keras.Model:
    """Builds a MambaOut model by name.

    Args:
        variant: One of `list_models()`.
        include_top: Whether the classifier head is part of the model. Without it the model is a
            `MambaOutBackbone`.
        include_preprocessing: Whether 0-255 RGB goes in and is normalised inside the model;
            otherwise use `preprocess_input` first.
        weights: `None` (random), `"imagenet"` (downloaded once from the Hugging Face hub), a tag of
            `list_weights()`, `"hf://user/repo"` or `"hf://user/repo@revision"` (somebody's weights there), or a
            path to a `.safetensors`, `.weights.h5` or the authors' `.pth` file. With `classes` other than the
            file's, the backbone and the head's hidden layer are loaded and the last layer stays random; with
            other than 3 input channels the first kernel is adapted (1: summed over RGB; others: RGB repeated
            and scaled). Both are logged.
        input_tensor: Optional Keras tensor to use as image input; the model is then a plain
            `keras.Model` that starts at that tensor's own inputs and has this model as a layer.
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
        rematerialize: As for `MambaOutBackbone`: less memory in training, more time.
        token_mixer: What mixes pixels: `"conv"` (MambaOut), or, for comparison and without published weights,
            `"conv_ssm"` (a state space model after it, as in Mamba), `"causal_conv"` or `"identity"`, as in
            `MambaOutConfig`. `load_weights(model, "imagenet", fresh_token_mixer=True)` loads what they share with it.

    Returns:
        A `MambaOutClassifier`, or a `MambaOutBackbone` with `include_top=False`.

    Raises:
        ValueError: If an argument is not among those listed above, or a file does not fit.
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
    config = resolve_config(variant).with_token_mixer(token_mixer)
    source = resolve_weights(weights, config)  # before the model is built: a wrong name is an error at once
    model = MambaOutBackbone(
        config,
        input_shape=input_shape,
        include_preprocessing=include_preprocessing,
        pooling=pooling,
        drop_path_rate=drop_path_rate,
        dtype=dtype,
        rematerialize=rematerialize,
        name=f"{name}_backbone" if include_top else name,
    )
    if include_top:
        model = MambaOutClassifier(model, classes, classifier_activation, dropout_rate, name=name)
    fill(model, source)
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
