"""The folder of a shared model: its weights, what they are, and a model card."""

import json
import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_mambaout.files import write_text, write_whole
from keras_mambaout.models.classifier import MambaOutClassifier
from keras_mambaout.models.saved import KERAS_FILE, load_model
from keras_mambaout.share.card import model_card
from keras_mambaout.weights.hub import FILE_NAME, HubRepository
from keras_mambaout.weights.loader import save_safetensors
from keras_mambaout.weights.timm_config import CONFIG_FILE, timm_config

CARD_FILE = "README.md"
MODEL_FILES = (KERAS_FILE, CONFIG_FILE, FILE_NAME)


def save_for_hub(
    model: keras.Model,
    folder: str | os.PathLike,
    repository: str = "user/repo",
    *,
    license: str = "apache-2.0",
    dataset: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> str:
    """Writes the folder that `push_to_hub` uploads.

    - A classifier that timm has too: `model.safetensors` under timm's names, and timm's `config.json`. It loads here
      with `load_model(folder)`, and in timm with `timm.create_model("local-dir:FOLDER", pretrained=True)`, with the
      same logits, class names, image size and crop. timm has the variants of `list_models()` for RGB images, that end
      in logits, a softmax or a sigmoid. With `include_preprocessing=False`, the model must have been trained on what
      `preprocess_input` returns: timm normalises photos in the same way. Frozen layers are not remembered.
    - Anything else (Mask R-CNN, UperNet, detectors, backbones, networks of your own): `model.keras`, without the
      optimizer.
    - `README.md`, the model card: what the model is, and the lines of code that use it.

    Args:
        model: A model of this package; `inference_settings` has the names of the classes and the size of the images.
        folder: Folder to write, which must be new or without a model and a card.
        repository: `"user/repo"` or `"user/repo@revision"`, the name in the card's lines of code.
        license: Of the weights, as the hub names it, such as `"apache-2.0"`, `"mit"`, `"cc-by-nc-4.0"`, `"other"`.
        dataset: What the model was trained and measured on, if possible as the hub names it: `"imagenet-1k"`.
        metrics: What `evaluate_classifier`, `evaluate_detector` or `evaluate_segmenter` returned, for the card.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is not among those listed above, or the folder has such files already.

    Example:
    ```python
    keras_mambaout.save_for_hub(model, "flowers", "me/flowers", metrics=evaluate_classifier(model, val_data))
    same = keras_mambaout.load_model("flowers")
    ```
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model, got {type(model).__name__}. For a file: load_model(path).")
    folder, address = os.fspath(folder), str(HubRepository.parse(repository))
    config = timm_config(model) if isinstance(model, MambaOutClassifier) else None
    card = model_card(model, address, config is not None, license, dataset, metrics)
    there = [name for name in (*MODEL_FILES, CARD_FILE) if os.path.exists(os.path.join(folder, name))]
    if there:
        raise ValueError(f"{folder!r} has {', '.join(there)} already: remove them, or choose another folder.")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot make the folder {folder!r}: {error}") from error
    if config is None:
        _save_keras(model, os.path.join(folder, KERAS_FILE))
    else:
        save_safetensors(model, os.path.join(folder, FILE_NAME))
        write_text(json.dumps(config, indent=2) + "\n", os.path.join(folder, CONFIG_FILE))
    write_text(card, os.path.join(folder, CARD_FILE))
    return folder


def _save_keras(model, path):
    """Saves a model as a `.keras` file without its optimizer, which Keras saves with every compiled model."""
    write_whole(path, model.save)
    if model.compiled:
        write_whole(path, load_model(path).save)
