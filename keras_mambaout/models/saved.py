"""Saved models of this package, whatever they were built with: files, folders, repositories of the Hugging Face hub."""

import os

import keras

from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.models.keras_file import load_keras_file
from keras_mambaout.weights.files import read_shape
from keras_mambaout.weights.hub import FILE_NAME, PREFIX, DownloadError, HubRepository, download_beside, find
from keras_mambaout.weights.loader import load_weights
from keras_mambaout.weights.name_map import LAST_LAYER
from keras_mambaout.weights.timm_config import CONFIG_FILE, read_timm_config

SUFFIX = ".keras"
KERAS_FILE = "model.keras"
OUR_FILES = f"{KERAS_FILE}, nor {CONFIG_FILE} with {FILE_NAME}"


def names_saved_model(name: str) -> bool:
    """Returns whether a name is an address for `load_model`, and not the name of a variant."""
    return name.endswith(SUFFIX) or name.startswith(PREFIX) or os.path.isfile(os.path.join(name, CONFIG_FILE))


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a model of this package: a backbone, classifier, detector or segmentation model.

    A `.keras` file may be from anyone: nothing that it names is run, opened or downloaded, and its classes must be of
    Keras, KerasHub, KerasCV or this package, or registered by a module that you have imported. The detectors of
    `keras_mambaout.integrations` are found without importing them. To continue a training with the saved optimizer,
    import the module yourself and call `keras.models.load_model`, with files of your own only.

    Args:
        path: Path of a `.keras` file; `"hf://user/repo"` or `"hf://user/repo@revision"`, a repository of the Hugging
            Face hub; or a folder of `save_for_hub`. Of the latter two, `model.keras` is loaded if it is there, else
            the classifier that timm's `config.json` and `model.safetensors` describe, from `push_to_hub` or timm.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such file, it is damaged, names what is not allowed or is not a `.keras` file; or
            `config.json` and `model.safetensors` are not of one MambaOut classifier.
        DownloadError: If the repository has no model of this package, or cannot be downloaded.
        ImportError: If the library that the model was built with is not installed.

    Example:
    ```python
    detector = keras_mambaout.load_model("detector.keras")
    (found,) = detect(detector, [keras_mambaout.load_image("photo.jpg")])
    classifier = keras_mambaout.load_model("hf://timm/mambaout_tiny.in1k")
    ```
    """
    path = local_path(os.fspath(path))
    if not os.path.isdir(path):
        return load_keras_file(path)
    files = {name: os.path.join(path, name) for name in (KERAS_FILE, CONFIG_FILE, FILE_NAME)}
    there = {name for name, file in files.items() if os.path.isfile(file)}
    if KERAS_FILE in there:
        return load_keras_file(files[KERAS_FILE])
    if {CONFIG_FILE, FILE_NAME} <= there:
        return _load_classifier(files[CONFIG_FILE], files[FILE_NAME])
    raise ValueError(f"The folder {path!r} has no model of this package: neither {OUR_FILES}.")


def local_path(path: str) -> str:
    """Returns the path of a file or folder for `load_model`; what `"hf://user/repo"` names is downloaded first.

    Raises:
        ValueError: If the repository's `config.json` is not of a MambaOut classifier.
        DownloadError: If the repository has no model of this package, or cannot be downloaded.
    """
    if not path.startswith(PREFIX):
        return path
    repository = HubRepository.parse(path)
    keras_file = find(repository, KERAS_FILE)
    if keras_file is not None:
        return keras_file
    config = find(repository, CONFIG_FILE)
    if config is None:
        raise DownloadError(f"{path} has no model of this package: neither {OUR_FILES}.")
    read_timm_config(config)  # before the weights, which are large, are downloaded
    return os.path.dirname(download_beside(config, repository))


def _load_classifier(config_file, weights_file):
    """Builds the classifier of a `config.json` and fills it with the weights beside it."""
    config = read_timm_config(config_file)
    if read_shape(weights_file, LAST_LAYER[1]) != (config.classes,):  # before a model of that size is built
        raise ValueError(f"{weights_file!r} has no classifier of {config.classes} classes, as {config_file!r} says.")
    backbone = MambaOutBackbone(
        config.variant,
        include_preprocessing=config.include_preprocessing,
        drop_path_rate=config.drop_path_rate,
        name=f"{config.variant}_backbone",
    )
    model = MambaOutClassifier(
        backbone,
        config.classes,
        config.classifier_activation,
        config.dropout_rate,
        inference_settings=config.settings,
        name=config.variant,
    )
    load_weights(model, weights_file)
    return model
