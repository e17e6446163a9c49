"""The MambaOut classifier: a backbone and its head."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_mambaout import arguments, layers
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.layers.composite import check_dtype, saved_dtype
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.freezing import freeze_layers, frozen_layer_names
from keras_mambaout.models.lora import add_lora
from keras_mambaout.models.mixins import InferenceSettingsMixin, ModelMixin
from keras_mambaout.serialization import serializable
from keras_mambaout.weights.loader import fill
from keras_mambaout.weights.pretrained import resolve_weights


@serializable
class MambaOutClassifier(InferenceSettingsMixin, ModelMixin, keras.Model):
    """A backbone with its classifier head, as one flat functional `keras.Model`.

    Its layers are the backbone's layers (`stem`, `stages_0_blocks_0`, ...), then `head` and
    `predictions`; `model.backbone` is the backbone itself, with the same layers and weights.

    Args:
        backbone: A `MambaOutBackbone`; its `pooling` and `output_norms` are not used.
        classes: Number of classes, 1 or more.
        classifier_activation: Activation of the output, `None` for logits. The output is float32
            under mixed precision too.
        dropout_rate: Dropout before the last layer, in `[0, 1)`.
        weights: As for `create_model`.
        frozen_layers: Names of layers that are not trained, as a saved model remembers them.
        inference_settings: `ClassificationSettings`: class names, and the size and crop of images. Published weights
            set them, and so does `train`; `model.inference_settings` can be set later too.
        dtype: Dtype policy of the head; default the backbone's.
        name: Name of the model.

    Shapes:
        `(B, H, W, C)` -> `(B, classes)`; with channels first `(B, C, H, W)` goes in.

    Raises:
        ValueError: If an argument is not among those listed above, or the weights do not fit.

    Example:
    ```python
    config = keras_mambaout.MambaOutConfig(depths=(1, 1, 2, 1), dims=(16, 32, 64, 96))
    backbone = keras_mambaout.MambaOutBackbone(config, input_shape=(32, 32, 1))
    model = keras_mambaout.MambaOutClassifier(backbone, classes=10)
    ```

    Source: [Yu and Wang, MambaOut: Do we really need Mamba for vision?](https://arxiv.org/abs/2405.07992)
    """

    settings_class = ClassificationSettings

    def __init__(
        self,
        backbone: MambaOutBackbone,
        classes: int = 1000,
        classifier_activation: str | Callable | None = "softmax",
        dropout_rate: float = 0.0,
        weights: str | os.PathLike | None = None,
        frozen_layers: Iterable[str] = (),
        inference_settings: ClassificationSettings | Mapping | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "mambaout_classifier",
        **kwargs,
    ):
        # === Arguments ===
        source = resolve_weights(weights, backbone.config)
        classes = arguments.check_classes(classes)
        dropout_rate = arguments.check_rate("dropout_rate", dropout_rate)
        dtype = check_dtype(backbone.dtype_policy if dtype is None else dtype)

        # === Functional model ===
        x = layers.ClassifierHead(
            classes,
            hidden_norm=backbone.config.head == "mlp",
            dropout_rate=dropout_rate,
            dtype=dtype,
            name="head",
        )(backbone.last_stage_output)  # (B, classes)
        outputs = keras.layers.Activation(classifier_activation, dtype=keras.config.floatx(), name="predictions")(x)
        super().__init__(inputs=backbone.input, outputs=outputs, name=name, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.classes = classes
        self.classifier_activation = classifier_activation
        self.dropout_rate = dropout_rate
        self.dtype_policy = backbone.dtype_policy
        self.inference_settings = inference_settings
        freeze_layers(self, frozen_layers)
        fill(self, source)

    @property
    def config(self) -> MambaOutConfig:
        """The architecture."""
        return self.backbone.config

    @property
    def num_classes(self) -> int:
        """Number of classes, under the name that the models of all tasks have."""
        return self.classes

    def embedding_model(self) -> keras.Model:
        """Returns the model without its last layer: images in, features `(B, 4 * C)` out, `C` of the last stage.

        `pre_logits = LN(GELU(pre_logits(LN(mean(x)))))`, the features that the classes are computed from; the `rw`
        models have no outer LayerNorm. It is a functional `keras.Model` of this model's own layers: it has the same
        weights, and trains them.

        Example:
        ```python
        embed = keras_mambaout.MambaOutTiny(weights="imagenet").embedding_model()
        features = embed.predict(images)  # (B, 2304)
        ```

        Source: `reset_classifier(0)` of [timm](https://github.com/huggingface/pytorch-image-models)
        """
        head = self.get_layer("head").without_classes()
        return keras.Model(self.input, head(self.backbone.last_stage_output), name=f"{self.name}_embedding")

    def enable_lora(self, rank: int, target_layer_names: Sequence[str] | None = None) -> None:
        """Freezes everything but the head's last layer and trains LoRA on the dense layers of the blocks.

        As `MambaOutBackbone.enable_lora`, which says how it is saved and merged. The last layer, `head/fc`, trains too,
        since it is new where the number of classes is.

        Example:
        ```python
        model = keras_mambaout.MambaOutTiny(classes=5)
        model.enable_lora(8)
        model.compile("adamw", "sparse_categorical_crossentropy")
        model.fit(images, labels)
        model.save("flowers.keras")
        merged = keras_mambaout.load_model("flowers.keras")
        ```
        """
        frozen = tuple(frozen_layer_names(self.backbone))
        add_lora(self, rank, target_layer_names)
        self.backbone.frozen_without_lora = frozen
        head = self.get_layer("head")
        head.trainable = True
        for part in (head.norm, head.pre_logits, head.pre_logits_norm):
            if part is not None:
                part.trainable = False

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "classes": self.classes,
            "classifier_activation": keras.activations.serialize(keras.activations.get(self.classifier_activation)),
            "dropout_rate": self.dropout_rate,
            "weights": None,  # a saved model carries its own values
            "frozen_layers": frozen_layer_names(self),
            "inference_settings": self.inference_settings.to_dict(),
            "dtype": keras.dtype_policies.serialize(saved_dtype(self.get_layer("head"))),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        arguments.check_saved_weights(config)
        config = dict(config)
        config["backbone"] = keras.saving.deserialize_keras_object(config["backbone"], custom_objects=custom_objects)
        return cls(**{**config, "dtype": keras.dtype_policies.get(config["dtype"]) if "dtype" in config else None})
