"""The classifier head: from the last stage's features to logits."""

import keras
from keras import ops

from keras_mambaout.layers.common import dense, layer_norm
from keras_mambaout.layers.composite import CompositeLayer, not_rematerialized
from keras_mambaout.serialization import serializable


@serializable
class ClassifierHead(CompositeLayer):
    """Global average pooling and a perceptron with one hidden layer of `4 * C` units.

    `logits = fc(dropout(LN(GELU(pre_logits(LN(mean(x)))))))`; the `rw` models have no LayerNorm on
    the hidden layer (`hidden_norm=False`). The activation is GELU also where the blocks use SiLU.

    Args:
        classes: Number of logits; 0 for the features before the last layer, without dropout.
        hidden_norm: Whether a LayerNorm follows the hidden layer's GELU.
        dropout_rate: Dropout before the last layer.

    Shapes:
        `(B, H, W, C)` -> `(B, classes)`, with 0 classes `(B, 4 * C)`.

    Example:
    ```python
    ClassifierHead(1000)(keras.ops.ones((1, 7, 7, 288))).shape  # (1, 1000)
    ```

    Source: the [authors' code](https://github.com/yuweihao/MambaOut); without the second norm:
    timm's `norm_mlp` head.
    """

    recomputable = False

    def __init__(self, classes: int, hidden_norm: bool = True, dropout_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.hidden_norm = hidden_norm
        self.dropout_rate = dropout_rate

    @not_rematerialized
    def build(self, input_shape):
        batch, dim = input_shape[0], input_shape[-1]
        dtype = self.dtype_policy
        self.norm = layer_norm("norm", dtype)
        self.norm.build((batch, dim))
        self.pre_logits = dense(4 * dim, "pre_logits", self.dtype_of("pre_logits"))
        self.pre_logits.build((batch, dim))
        self.pre_logits_norm = None
        if self.hidden_norm:
            self.pre_logits_norm = layer_norm("pre_logits_norm", dtype)
            self.pre_logits_norm.build((batch, 4 * dim))
        if self.classes:
            self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=dtype, name="dropout")
            self.dropout.build((batch, 4 * dim))
            self.fc = dense(self.classes, "fc", self.dtype_of("fc"))
            self.fc.build((batch, 4 * dim))

    def call(self, inputs, training=False):
        x = ops.mean(inputs, axis=(1, 2))  # (B, C)
        x = self.pre_logits(self.inner(self.norm, x))  # (B, 4 * C)
        x = keras.activations.gelu(x, approximate=False)
        if self.pre_logits_norm is not None:
            x = self.inner(self.pre_logits_norm, x)
        if not self.classes:
            return x
        x = self.dropout(x, training=training)
        return self.fc(x)  # (B, classes)

    def without_classes(self) -> "ClassifierHead":
        """Returns a head with `classes=0` over the same layers, with their weights."""
        head = ClassifierHead(0, self.hidden_norm, dtype=self.dtype_policy, name="embedding")
        head.norm, head.pre_logits, head.pre_logits_norm = self.norm, self.pre_logits, self.pre_logits_norm
        head.built = True
        return head

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes or 4 * input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "hidden_norm": self.hidden_norm,
            "dropout_rate": self.dropout_rate,
        }
