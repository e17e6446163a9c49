"""How Keras finds the classes of this package when it loads a saved model."""

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
    class LayerScale(keras.layers.Layer):
        ...
    ```
    """
    return keras.saving.register_keras_serializable(PACKAGE)(cls)
