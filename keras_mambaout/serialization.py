"""How Keras finds the classes of this package when it loads a saved model."""

import importlib
from collections.abc import Iterable
from typing import TypeVar

import keras

PACKAGE = "keras_mambaout"

Class = TypeVar("Class", bound=type)


def serializable(cls: Class) -> Class:
    """Registers a class with Keras as `keras_mambaout>ClassName`, the name that saved files hold.

    It is `keras.saving.register_keras_serializable(PACKAGE)` in one word, and annotated, so that an
    editor still shows the arguments of the class. Renaming a class breaks the files that hold it.

    Example:
    ```python
    @serializable
    class LayerScale(keras.layers.Layer): ...
    ```
    """
    return keras.saving.register_keras_serializable(PACKAGE)(cls)


def serializable_later(package: str, names: Iterable[str]) -> None:
    """Registers classes of a package that is not imported until a saved file asks for one of them.

    So `keras.models.load_model` works after `import keras_mambaout`, which imports no task. The
    stand-in that Keras finds first imports the package, which registers the class in its place.

    Args:
        package: Package whose import registers the classes.
        names: Names of the classes.

    Example:
    ```python
    serializable_later("keras_mambaout.training", ["AdamW"])
    ```
    """
    for name in names:
        stand_in = type(name, (), {"from_config": classmethod(_import_and_build), "package": package})
        keras.saving.get_custom_objects().setdefault(f"{PACKAGE}>{name}", stand_in)


def _import_and_build(stand_in, config):
    importlib.import_module(stand_in.package)
    return keras.saving.get_custom_objects()[f"{PACKAGE}>{stand_in.__name__}"].from_config(config)
