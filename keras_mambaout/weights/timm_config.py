"""timm's `config.json`: which classifier a `model.safetensors` beside it is, and which images it was trained on.

timm reads `architecture`, `num_classes`, `label_names` and `pretrained_cfg`. What it has no name for, such as whether
our model ends in a softmax, is under `keras_mambaout`, which timm leaves alone.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_mambaout.arguments import check_choice, check_classes, check_rate, is_number
from keras_mambaout.config import VARIANTS
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.layers.image_normalization import IMAGENET_MEAN, IMAGENET_STD
from keras_mambaout.preprocessing.imagenet import imagenet_names

CONFIG_FILE = "config.json"
OURS = "keras_mambaout"
ACTIVATIONS = ("softmax", "sigmoid", "linear")
TIMM_NAMES = {"mambaout_test": "test_mambaout"}  # where they differ from ours
VARIANT_NAMES = {TIMM_NAMES.get(variant, variant): variant for variant in VARIANTS}
HARMLESS_ARGUMENTS = {"num_classes", "drop_rate", "drop_path_rate"}  # of timm's models; others change what is computed
OUR_ARGUMENTS = {"in_chans": 3, "global_pool": "avg"}
MAX_CLASSES = 2**20  # far above any data set, far below all memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """What a `config.json` says.

    Args:
        variant: Name of the variant.
        classes: Number of classes.
        settings: `ClassificationSettings`.
        classifier_activation: `"softmax"`, `"sigmoid"`, or `"linear"` for logits.
        include_preprocessing: Whether 0-255 pixels go in.
        drop_path_rate, dropout_rate: Rates while training.
    """

    variant: str
    classes: int
    settings: ClassificationSettings
    classifier_activation: str = "softmax"
    include_preprocessing: bool = True
    drop_path_rate: float = 0.0
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_choice("classifier_activation", self.classifier_activation, ACTIVATIONS)
        check_choice("include_preprocessing", self.include_preprocessing, (True, False))
        check_rate("drop_path_rate", self.drop_path_rate)
        check_rate("dropout_rate", self.dropout_rate)
        ClassificationSettings.of(self.settings, self.classes)


def timm_config(model: keras.Model) -> dict[str, Any] | None:
    """Returns the `config.json` of a `MambaOutClassifier`, or `None` if timm has no model that computes the same.

    timm has one for a variant of RGB images whose weights are all its own, without padding, that ends in a softmax, a
    sigmoid or logits.
    """
    backbone = model.backbone
    variant = next((name for name, config in VARIANTS.items() if config == model.config), None)
    activation = keras.activations.serialize(keras.activations.get(model.classifier_activation))
    channels = backbone.input_shape[-1 if backbone.data_format == "channels_last" else 1]
    if (
        variant is None
        or channels != 3
        or backbone.pad_to_multiple != 1
        or backbone.output_norms
        or activation not in ACTIVATIONS
        or model.count_params() != model.config.count_parameters(model.classes)  # quantised
    ):
        return None
    settings = model.inference_settings
    photos = settings.options()
    size = settings.image_size or _fixed_side(backbone) or photos["image_size"]
    names = {} if settings.class_names is None else {"label_names": list(settings.class_names)}
    return {
        "architecture": TIMM_NAMES.get(variant, variant),
        "num_classes": model.classes,
        "num_features": model.config.dims[-1],
        "global_pool": "avg",
        **names,
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, size, size],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": photos["crop_pct"],
            "crop_mode": photos["crop_mode"],
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "num_classes": model.classes,
            "pool_size": [math.ceil(size / 32)] * 2,
            "first_conv": "stem.conv1",
            "classifier": "head.fc",
        },
        OURS: {
            "classifier_activation": activation,
            "include_preprocessing": backbone.include_preprocessing,
            "drop_path_rate": backbone.drop_path_rate,
            "dropout_rate": model.dropout_rate,
        },
    }


def read_timm_config(path: str | os.PathLike) -> TimmConfig:
    """Returns what a `config.json` says. Nothing that it names is imported or opened.

    Raises:
        ValueError: If it is no JSON, or not of a MambaOut classifier for RGB images normalised as ImageNet's.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        return _read(config)
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not timm's config.json of a MambaOut classifier: {error!s:.500}"
        ) from error


def _read(config):
    _object("it", config)
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or architecture not in VARIANT_NAMES:
        raise ValueError(f"`architecture` must be one of {', '.join(VARIANT_NAMES)}, got {architecture!r:.80}")
    trained = _object("pretrained_cfg", config.get("pretrained_cfg", config))  # older files are flat
    classes = check_classes(config.get("num_classes", trained.get("num_classes")))
    if classes > MAX_CLASSES:
        raise ValueError(f"`num_classes` must be at most {MAX_CLASSES}, got {classes!r:.80}")
    channels, *sides = trained.get("input_size", (3, 224, 224))
    given = _object("model_args", config.get("model_args", {}))
    arguments = {
        name: value
        for name, value in given.items()
        if name not in HARMLESS_ARGUMENTS and value != OUR_ARGUMENTS.get(name)
    }
    if channels != 3 or arguments:
        raise ValueError(
            "it must be for images of 3 channels, without model_args that change the network, got "
            f"{channels} and {arguments!r:.80}"
        )
    for name, ours in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        if not _close(trained.get(name, ours), ours):
            raise ValueError(f"`{name}` must be ImageNet's, {ours}, got {trained[name]!r:.80}")
    return TimmConfig(
        variant=VARIANT_NAMES[architecture],
        classes=classes,
        settings=ClassificationSettings(
            class_names=_class_names(config, trained, classes),
            image_size=sides[0] if sides == sides[:1] * 2 else None,
            crop_pct=trained.get("crop_pct"),
            crop_mode=trained.get("crop_mode"),
        ),
        **_object(OURS, config.get(OURS, {})),
    )


def _object(name, value):
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, got {value!r:.80}")
    return value


def _class_names(config, trained, classes):
    """Returns the names of the classes, which timm keeps as a list or by number; `None` if it has none."""
    names = config.get("label_names") or trained.get("label_names") or trained.get("labels")
    if names is None and classes == len(imagenet_names()) and str(trained.get("tag")).endswith("in1k"):
        return imagenet_names()
    if isinstance(names, Mapping):
        return [str(names.get(str(number), number)) for number in range(classes)]
    return names


def _fixed_side(backbone):
    """Returns the side of the square images that a model takes, `None` if it takes others too."""
    shape = backbone.input_shape[1:]
    height, width = shape[:2] if backbone.data_format == "channels_last" else shape[1:]
    return height if height == width else None


def _close(values, ours):
    return len(values) == 3 and all(
        is_number(value) and abs(value - known) < 1e-4 for value, known in zip(values, ours, strict=True)
    )
