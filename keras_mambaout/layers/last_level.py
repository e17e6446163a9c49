"""Keeps side branches of a functional model in it."""

import keras

from keras_mambaout.serialization import serializable


@serializable
class LastLevel(keras.layers.Layer):
    """Returns the last of several features.

    A functional model consists of the layers that its output depends on. With this one at its end,
    the layers of the other pyramid levels (norms, transpositions) belong to it too: their weights
    are saved, loaded and frozen with the model, and `get_layer` finds them.

    Shapes:
        A list of features of any shapes -> the last one as it is.

    Example:
    ```python
    LastLevel()([p2, p3, p4, p5])  # p5
    ```
    """

    def call(self, inputs):
        return inputs[-1]

    def compute_output_shape(self, input_shape):
        return input_shape[-1]
