"""What the configuration of a `.keras` file may name: classes that Keras and this package know, and no files."""

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import keras

FAMILY = ("keras", "keras_hub", "keras_cv", "keras_nlp")  # whose modules Keras imports
INTEGRATIONS = ("keras_mambaout.integrations.keras_cv", "keras_mambaout.integrations.keras_hub")
MODELING = {  # parts of Keras that models are made of; its utilities and ready-made models read and write files
    "activations",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "quantizers",
    "random",
    "regularizers",
    "src",
}
FILES = ("weights", "vocabulary", "merges", "proto", "preset")  # arguments that open a file or a repository
CODE = ("__lambda__", "TFSMLayer", "TorchModuleWrapper")  # which hold code, or name files that do
DOWNLOADING = "stable_diffusion"  # KerasCV's classes of these modules download their weights when they are made


def check_config(config: Any) -> None:
    """Checks what a configuration names, and imports the module of this package that it needs, if any.

    Keras looks classes and functions up by the name that they are registered under, and imports the module that a
    configuration names if it is of Keras, KerasHub or KerasCV; before 3.9, any.

    Raises:
        ValueError: If it names a class or function that is neither registered nor Keras', or a file. The error does
            not name the file that the configuration is of.
        ImportError: If the library that the model was built with is not installed.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ValueError("its configuration is not of a model")
    parts = list(_parts({**config, "compile_config": None}))  # models are loaded without
    for module in sorted({str(part.get("module")) for part in parts}):
        package = next((name for name in INTEGRATIONS if f"{module}.".startswith(f"{name}.")), None)
        if package is not None:
            importlib.import_module(package)
    for part in parts:
        for name in FILES:
            if not isinstance(part.get(name), list | None):
                raise ValueError(f"its `{name}` is {part[name]!r:.80}: nothing that a file names is opened")
        if "class_name" in part:
            _check_class(part)


def _parts(config: Any) -> Iterator[dict]:
    """Yields all dicts in a configuration."""
    left = [config]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)


def _check_class(part):
    if part["class_name"] in CODE:
        raise ValueError(
            f"it has a {part['class_name']}, which is code that would run: if you trust it, "
            "keras.models.load_model(path, safe_mode=False)"
        )
    is_function = part["class_name"] == "function"
    name = part.get("config") if is_function else part.get("registered_name", part["class_name"])
    module = part.get("module")
    known = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    if known is not None:
        module = known.__module__
    elif module is None or module == "builtins":
        return  # Keras looks in its own
    full_name = f"{module}.{part['config'] if is_function else part['class_name']}"
    family, _, rest = module.partition(".") if isinstance(module, str) else ("", "", "")
    if known is None and (family not in FAMILY or (family == "keras" and rest and rest.split(".")[0] not in MODELING)):
        raise ValueError(
            f"it needs {full_name!r:.200}, which is not of Keras, KerasHub, KerasCV or this package: import the module "
            "that registers it first, if you trust it"
        )
    if family in FAMILY and DOWNLOADING in module:
        raise ValueError(f"it needs {full_name!r:.200}, which downloads files")
    if known is None and importlib.util.find_spec(family) is None:
        raise ImportError(f"The model needs {family}, which is not installed: pip install {family.replace('_', '-')}")
