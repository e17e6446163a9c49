"""UperNet over MambaOut: the paper's system for ADE20K."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mambaout.arguments import check_number, check_positive_integer, check_rate
from keras_mambaout.inference_settings import SegmentationSettings
from keras_mambaout.layers.composite import not_rematerialized, saved_dtype
from keras_mambaout.layers.replicas import replica_mean, replica_share, shared_count
from keras_mambaout.models.dense_prediction import ALL_LEVELS, dense_prediction_backbone
from keras_mambaout.models.mixins import InferenceSettingsMixin, LabelCheckMixin
from keras_mambaout.segmentation.labels import LabelMaps, check_same_size
from keras_mambaout.segmentation.uper.auxiliary_head import AuxiliaryHead
from keras_mambaout.segmentation.uper.losses import counted_pixels, cross_entropy
from keras_mambaout.segmentation.uper.resizing import resize_bilinear
from keras_mambaout.segmentation.uper.uper_head import UPerHead
from keras_mambaout.serialization import serializable

AUXILIARY_STAGE = 2  # stride 16


@serializable
class UperNet(InferenceSettingsMixin, LabelCheckMixin, keras.Model):
    """UperNet: the class of each pixel of an image.

    A backbone, a `UPerHead` on its four features, and in training an `AuxiliaryHead` on the third. Before the loss,
    logits of stride 4 and 16 are enlarged to the size of the images by bilinear interpolation.

    `loss = cross_entropy + auxiliary_weight * auxiliary cross_entropy` in training, without the second term in
    `evaluate`; see `losses.py`. `fit` logs the loss, both terms (the second is 0 in `evaluate`) and the pixel accuracy.

    Args:
        backbone: A `MambaOutBackbone` with `output_norms=True` and channels last. If it pads images to a
            multiple, the padding is cut off the logits.
        num_classes: Number of classes.
        channels: Channels of `UPerHead`.
        pool_scales: Into how many parts its pyramid pooling divides a side, one integer per level.
        auxiliary_channels: Channels of `AuxiliaryHead`.
        auxiliary_weight: Weight of its loss, 0 or more.
        dropout_rate: Fraction of channels that are set to 0 before the classifiers in training, in `[0, 1)`.
        ignore_index: Label of pixels that count in neither the loss nor the accuracy.
        inference_settings: `SegmentationSettings`: class names, sizes of images and windows, and a palette.
            `train` sets them; `model.inference_settings` can be set later too.
        dtype: Dtype policy of the heads; `None` is Keras' global one. Logits and losses are float32.
        name: Name of the model.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB -> logits `(B, H, W, num_classes)`. Called with
        `training=True`, it returns a dict of `"logits"` and `"auxiliary"`, both of this shape.
        Labels: `(B, H, W)`, integers from 0 to `num_classes - 1` or `ignore_index`.

    Raises:
        ValueError: If the backbone does not fit or an argument is outside what is listed above; in `fit` and
            `evaluate` if labels have a different shape or size, or other values.

    Example:
    ```python
    model = upernet("mambaout_tiny", num_classes=150)
    model.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.05))
    model.fit(dataset.batches(16, training=True), epochs=127)
    (classes,) = segment(model, [keras_mambaout.load_image("photo.jpg")])  # (H, W)
    ```

    Source: [Xiao et al., Unified perceptual parsing for scene understanding](https://arxiv.org/abs/1807.10221)
    """

    settings_class = SegmentationSettings

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int,
        channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        auxiliary_channels: int = 256,
        auxiliary_weight: float = 0.4,
        dropout_rate: float = 0.1,
        ignore_index: int = 255,
        inference_settings: SegmentationSettings | Mapping | None = None,
        dtype: Any = None,
        name: str = "upernet",
        **kwargs: Any,
    ):
        # === Arguments ===
        check_positive_integer("num_classes", num_classes)
        super().__init__(dtype=dtype, name=name, **kwargs)
        self.num_classes = num_classes
        self.channels = check_positive_integer("channels", channels)
        self.pool_scales = _check_scales(pool_scales)
        self.auxiliary_channels = check_positive_integer("auxiliary_channels", auxiliary_channels)
        self.auxiliary_weight = check_number("auxiliary_weight", auxiliary_weight)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.ignore_index = _check_ignore_index(ignore_index)

        self.inference_settings = inference_settings

        # === Layers ===
        dtype = self.dtype_policy
        self.backbone = dense_prediction_backbone(backbone, None, pad_to_multiple=1)
        if self.backbone.data_format != "channels_last":
            raise ValueError("UperNet needs a MambaOutBackbone with data_format='channels_last', got 'channels_first'.")
        levels = [self.backbone.pyramid_outputs[f"P{level}"] for level in ALL_LEVELS]
        self.features = not_rematerialized(keras.Model)(self.backbone.input, levels, name="features")
        self.head = UPerHead(num_classes, channels, self.pool_scales, dropout_rate, dtype=dtype, name="head")
        self.auxiliary_head = AuxiliaryHead(
            num_classes, auxiliary_channels, dropout_rate, dtype=dtype, name="auxiliary_head"
        )
        shapes = [tuple(level.shape) for level in levels]
        self.head.build(shapes)
        self.auxiliary_head.build(shapes[AUXILIARY_STAGE])
        self.built = True

        # === State ===
        self.class_tracker = keras.metrics.Mean("class_loss")
        self.auxiliary_tracker = keras.metrics.Mean("auxiliary_loss")
        self.accuracy_tracker = keras.metrics.Mean("accuracy")

    # === Forward ===

    def call(self, inputs: Any, training: bool = False) -> Any:
        size = ops.shape(inputs)[1:3]
        features = self.features(inputs, training=training)
        logits = self._enlarge(self.head(features, training=training), size)
        if not training:
            return logits
        auxiliary = self.auxiliary_head(features[AUXILIARY_STAGE], training=training)
        return {"logits": logits, "auxiliary": self._enlarge(auxiliary, size)}

    def _enlarge(self, logits, size):
        """Returns logits at the height and width of the images, without the padding of the backbone."""
        multiple = self.backbone.pad_to_multiple
        padded = [side + -side % multiple for side in size] if multiple > 1 else size
        logits = resize_bilinear(ops.cast(logits, "float32"), padded)
        return logits[:, : size[0], : size[1]] if multiple > 1 else logits  # (B, H, W, num_classes)

    # === Training ===

    @property
    def training_only(self) -> tuple[keras.Layer, ...]:
        """The layers that predictions do not need."""
        return (self.auxiliary_head,)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the loss of the logits, in training with the auxiliary loss.

        Sample weights are not used.
        """
        outputs = y_pred if isinstance(y_pred, dict) else {"logits": y_pred}
        logits, labels = outputs["logits"], ops.cast(y, "int32")
        check_same_size(logits.shape, labels.shape)
        loss = cross_entropy(logits, labels, self.ignore_index)
        self.class_tracker.update_state(loss)
        if "auxiliary" in outputs:
            auxiliary = cross_entropy(outputs["auxiliary"], labels, self.ignore_index)
            self.auxiliary_tracker.update_state(auxiliary)
            loss = loss + self.auxiliary_weight * auxiliary
        self._track_accuracy(logits, labels)
        return replica_share(loss + sum(self.losses))

    def _track_accuracy(self, logits, labels):
        """Weighs by the pixels of all devices: the mean over them is right where Keras logs it after each step."""
        counted = counted_pixels(labels, self.num_classes, self.ignore_index)
        right = ops.logical_and(ops.cast(ops.argmax(logits, axis=-1), "int32") == labels, counted)
        share = ops.sum(ops.cast(right, "float32")) / shared_count(counted)
        self.accuracy_tracker.update_state(share, sample_weight=replica_mean(ops.sum(ops.cast(counted, "float32"))))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """As in Keras, for the logits: the metrics of `compile(metrics=...)`."""
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        return super().compute_metrics(x, y, logits, sample_weight)

    @property
    def label_rule(self) -> LabelMaps:
        """What labels must be, which `fit` and `evaluate` check."""
        return LabelMaps(self.num_classes, self.ignore_index)

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "channels": self.channels,
            "pool_scales": self.pool_scales,
            "auxiliary_channels": self.auxiliary_channels,
            "auxiliary_weight": self.auxiliary_weight,
            "dropout_rate": self.dropout_rate,
            "ignore_index": self.ignore_index,
            "inference_settings": self.inference_settings.to_dict(),
            "dtype": keras.dtype_policies.serialize(saved_dtype(self)),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(**{**config, "backbone": backbone, "dtype": keras.dtype_policies.get(config["dtype"])})


def _check_scales(scales):
    if not isinstance(scales, (tuple, list)) or not scales or len(set(scales)) < len(scales):
        raise ValueError(f"`pool_scales` must be one or more distinct integers of 1 or more, got {scales!r}.")
    return tuple(check_positive_integer("pool_scales", scale) for scale in scales)


def _check_ignore_index(index):
    if isinstance(index, bool) or not isinstance(index, int):
        raise ValueError(f"`ignore_index` must be an integer, the label of pixels that do not count, got {index!r}.")
    return index
