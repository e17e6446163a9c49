"""Filling a model with weights: strictly, all or nothing."""

import dataclasses
import logging
import os

import h5py
import keras
import numpy as np

from keras_mambaout.config import VARIANTS
from keras_mambaout.weights import name_map
from keras_mambaout.weights.files import read_tensors, warn_of_nan, write_safetensors
from keras_mambaout.weights.hdf5 import list_arrays
from keras_mambaout.weights.hub import HubRepository, download, download_beside, find
from keras_mambaout.weights.pretrained import PublishedWeights, resolve_weights
from keras_mambaout.weights.timm_config import CONFIG_FILE, read_timm_config

PARAMETERS = ("kernel", "bias", "gamma", "beta", "x_proj", "dt_proj", "dt_bias", "A_log", "D")
logger = logging.getLogger("keras_mambaout")


def load_weights(
    model: keras.Model,
    weights: str | os.PathLike | None,
    revision: str | None = None,
    fresh_token_mixer: bool = False,
) -> list[str]:
    """Fills a MambaOut model with published or saved weights.

    Every tensor of the file must have its variable, every variable its tensor, of the same shape
    in the same layout; otherwise nothing is changed. A damaged file changes nothing either, where it can be seen: what
    `save_safetensors` writes carries a checksum, the files of PyTorch have some of their own; `.weights.h5` files and
    the `.safetensors` files of others have none, so a flipped bit in one of their numbers is loaded. Nothing in a file
    is run. NaN and infinity are loaded, with a warning. What may differ, and is logged:

    - the number of classes: the last layer then keeps its fresh values;
    - no head in the model: the file's head is left out. No head in the file: it stays fresh;
    - input channels other than the file's three: the first kernel is adapted. For one channel it is
      summed over R, G and B; for `C` channels those of R, G, B, R, ... are taken and scaled by
      `3 / C`;
    - output norms, which published files do not have: they stay fresh;
    - with `fresh_token_mixer`, the state space models of a network with `token_mixer="conv_ssm"`, which stay fresh, and
      the convolutions of the file where the model has `"identity"`, which are left out. `"causal_conv"` takes them.

    Args:
        model: A `MambaOutBackbone` or `MambaOutClassifier`.
        weights: `None` (nothing is done), `"imagenet"`, a tag of `list_weights()`, `"hf://user/repo"` (its
            `model.safetensors` on the Hugging Face hub), or a path to a `.safetensors`, `.weights.h5` or the
            authors' `.pth` file.
        revision: Branch, tag or commit of the hub's repository; default its main branch. `"hf://user/repo@revision"`
            says the same.
        fresh_token_mixer: For models with another `token_mixer` than the file's: whether what mixes pixels may differ.

    Returns:
        The published names of the tensors that kept their fresh values.

    Raises:
        ValueError: If there are no such weights or the file does not fit; it lists what is
            missing, unused or misshapen.
        DownloadError: If published weights are neither in the cache nor can be downloaded.

    Example:
    ```python
    backbone = keras_mambaout.MambaOutBackbone("mambaout_tiny", output_norms=True)
    keras_mambaout.load_weights(backbone, "imagenet")
    ```
    """
    source = resolve_weights(weights, _config_of_file(model, fresh_token_mixer))
    return fill(model, source, revision, fresh_token_mixer)


def fill(
    model: keras.Model,
    source: PublishedWeights | HubRepository | str | None,
    revision: str | None = None,
    fresh_token_mixer: bool = False,
) -> list[str]:
    """Does what `load_weights` does with what `resolve_weights` returned."""
    if source is None:
        return []
    path, settings = _path_and_settings(source, _config_of_file(model, fresh_token_mixer), revision)
    if path.endswith(".weights.h5"):
        _load_h5(model, path)
        return []
    values, fresh = _matched(model, read_tensors(path), path, fresh_token_mixer)
    if settings is not None and hasattr(model, "inference_settings"):
        if settings.class_names is None or name_map.LAST_LAYER[0] in fresh:
            settings = dataclasses.replace(settings, class_names=model.inference_settings.class_names)
        model.inference_settings = settings  # which may fail, so before the weights
    for variable, value in values:
        variable.assign(value)
    warn_of_nan(path, ((name_map.published_name(variable.path)[0], value) for variable, value in values))
    if fresh:
        logger.warning("%s: not loaded, so fresh and to be trained: %s.", path, ", ".join(fresh))
    return fresh


def _config_of_file(model, fresh_token_mixer):
    """Returns the network that weights are of: the model's, or MambaOut's where the token mixer may differ."""
    return model.config.with_token_mixer("conv") if fresh_token_mixer else model.config


def save_safetensors(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a model's weights under timm's names, in timm's layout.

    The file loads into timm's model of the same variant with `strict=True`, and here with
    `weights=path`. It carries the SHA-256 of its tensors, which is compared when it is loaded here. If writing fails,
    a file that was there before stays.

    Args:
        model: A `MambaOutBackbone` or `MambaOutClassifier`.
        path: File to write; it must end in `.safetensors`.

    Raises:
        ValueError: If the path does not end so, its folder does not exist, or the model has LoRA or is quantized.

    Example:
    ```python
    keras_mambaout.save_safetensors(model, "flowers.safetensors")
    # in timm: timm.create_model("mambaout_tiny", num_classes=5, checkpoint_path="flowers.safetensors")
    ```
    """
    path = os.fspath(path)
    if not path.endswith(".safetensors"):
        raise ValueError(f"`path` must end in .safetensors, got {path!r}.")
    _check_plain(model)
    tensors = {}
    for variable in model.weights:
        name, axes = name_map.published_name(variable.path)
        value = np.asarray(variable.numpy(), "float32")
        tensors[name] = value if axes is None else value.transpose(np.argsort(axes))
    write_safetensors(tensors, path)


def _check_plain(model):
    """Raises an error for weights that have no published name."""
    others = [
        variable.path
        for variable in model.weights
        if variable.path.rpartition("/")[2] not in PARAMETERS or not keras.backend.is_float_dtype(variable.dtype)
    ]
    if others:
        raise ValueError(
            f"{model.name!r} has LoRA or is quantized, and published weights have no place for {others[0]}. LoRA is "
            "merged by `model.save(path)` and `load_model(path)`; for a quantized model there is `model.save(path)`."
        )


def _matched(model, tensors, path, fresh_token_mixer):
    """Returns `[(variable, value)]` of what the file fills and the names of what may stay fresh; or raises."""
    _check_plain(model)
    targets = {}
    for variable in model.weights:
        name, axes = name_map.published_name(variable.path)
        targets[name] = (variable, axes)
    tensors, fresh = _allow_differences(targets, dict(tensors))
    if fresh_token_mixer:
        mixed, in_file = (set(filter(name_map.TOKEN_MIXER.fullmatch, names)) for names in (targets, tensors))
        fresh += [name for name in targets if name in mixed - in_file]
        tensors = {name: tensor for name, tensor in tensors.items() if name not in in_file - mixed}

    values, missing, misshapen = [], [], []
    for name, (variable, axes) in targets.items():
        if name in fresh:
            continue
        if name not in tensors:
            missing.append(name)
            continue
        value = _in_our_layout(name, tensors.pop(name), axes, variable.shape)
        if value is None:
            misshapen.append(f"{name} (the model needs {tuple(variable.shape)} in its own layout)")
        else:
            values.append((variable, value))
    if missing or tensors or misshapen:
        raise ValueError(
            f"{path!r} does not fit the model {model.name!r}, which is left unchanged."
            + _listed("Missing in the file", missing)
            + _listed("Unused from the file", list(tensors))
            + _listed("Of a different shape, or not floating point", misshapen)
            + "\nBuild the variant that the file was saved from."
        )
    return values, fresh


def _allow_differences(targets, tensors):
    """Returns the tensors that the model has a part for, and the names that may stay fresh."""
    fresh = []
    for part in (name_map.HEAD_PREFIX, name_map.OUTPUT_NORMS_PREFIX):
        in_model = [name for name in targets if name.startswith(part)]
        in_file = [name for name in tensors if name.startswith(part)]
        if not in_file:
            fresh += in_model
        if not in_model:
            tensors = {name: tensor for name, tensor in tensors.items() if name not in in_file}

    kernel, bias = name_map.LAST_LAYER
    if kernel in targets and kernel in tensors and bias in tensors:
        classes = targets[bias][0].shape[0]
        file_classes = tensors[bias].shape[:1]
        if file_classes != (classes,) and tensors[kernel].shape[:1] == file_classes:
            fresh += [kernel, bias]
            tensors = {name: tensor for name, tensor in tensors.items() if name not in (kernel, bias)}
    return tensors, fresh


def _in_our_layout(name, tensor, axes, shape):
    """Returns the tensor as our variable has it, or `None` if it is not of that shape or a float."""
    is_float = np.issubdtype(tensor.dtype, np.floating) or tensor.dtype.name == "bfloat16"
    if not is_float or tensor.ndim != len(shape):
        return None
    value = tensor if axes is None else tensor.transpose(axes)
    if name == name_map.FIRST_KERNEL and value.shape[2] == 3 != shape[2]:
        value = _adapt_input_channels(value, shape[2])
    return value if value.shape == tuple(shape) else None


def _adapt_input_channels(kernel, channels):
    """First kernel `(3, 3, 3, F)` for another number of input channels: `(3, 3, channels, F)`."""
    logger.warning("The first kernel is adapted from 3 to %d input channels.", channels)
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    return kernel[:, :, np.arange(channels) % 3] * (3.0 / channels)


def _path_and_settings(source, config, revision):
    """Returns the path of what `resolve_weights` returned, and the settings of its images, if they are known."""
    if isinstance(source, PublishedWeights):
        return download(HubRepository(source.hub_id, revision)), source.settings
    if not isinstance(source, HubRepository):
        return source, None
    if revision is not None and source.revision is not None:
        raise ValueError(f"Give one revision: hf://{source} names one, and `revision` is {revision!r}.")
    repository = HubRepository(source.id, revision or source.revision)
    config_path = find(repository, CONFIG_FILE)
    if config_path is None:
        return download(repository, newest=True), None
    described = read_timm_config(config_path)
    if VARIANTS[described.variant] != config:
        raise ValueError(f"hf://{repository} has the weights of {described.variant}: build that model, not another.")
    return download_beside(config_path, repository), described.settings


def _listed(title, names, at_most=8):
    if not names:
        return ""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return f"\n{title} ({len(names)}): {', '.join(f'{name:.200}' for name in names[:at_most])}{more}."


def _load_h5(model, path):
    """Loads a file of Keras' own, which must be of the same architecture and classes."""
    before = [variable.numpy() for variable in model.weights]
    try:
        with h5py.File(path) as file:
            arrays = [array for array in list_arrays(file) if array.is_weight]
        if len(arrays) != len(model.weights):
            raise ValueError(f"it holds {len(arrays)} weights, the model has {len(model.weights)}")
        floats = sum(array.is_float for array in arrays)  # Keras would take integers for them
        if floats != sum(keras.backend.is_float_dtype(variable.dtype) for variable in model.weights):
            raise ValueError(f"{floats} of its {len(arrays)} weights are floats, and not as many as of the model")
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise errors of many kinds
        for variable, value in zip(model.weights, before, strict=True):
            variable.assign(value)
        raise ValueError(
            f"{path!r} does not fit the model {model.name!r}, which is left unchanged ({error!s:.500}). A "
            ".weights.h5 file loads only into the model that saved it: same variant, same `include_top`, `classes`, "
            "`output_norms`. To carry a backbone over to another head, save with `save_safetensors`."
        ) from error
    warn_of_nan(path, ((variable.path, variable.numpy()) for variable in model.weights))
