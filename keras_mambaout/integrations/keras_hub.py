"""MambaOut in KerasHub: as a backbone for its tasks and presets, and under its RetinaNet.

What KerasHub 0.32 gets wrong is worked around here and in `detector_mixin.py`:

- The prior probability of focal loss is given to the box head instead of the classification head: in a
  new detector, every anchor is an object with probability one half and every box is far off. And its convolutions
  start with values so large (standard deviation 0.05) that outputs grow from layer to layer. The heads are
  initialised again.
- Its losses are means over classes and coordinates, so the more classes there are the less each counts, and
  focal loss has no alpha. `compile` uses the losses of the paper.
- `train_on_batch` and `test_on_batch` fail, since labels are a dict and they expect a tensor. The mixin calls
  those of Keras.
- Anchors in a relative format fail, since the image size is not passed on, and there its NonMaxSuppression takes
  a batch for an image. Anchors are in pixels, and we use our own decoder.
- Images whose sides are not multiples of 32 fail, since the levels of the feature pyramid do not match,
  and if they are not multiples of 128, the anchors of the coarsest levels have the wrong stride. The backbone
  pads, and the mixin adapts the anchors.
- A second image size fails on TensorFlow, as in KerasCV. The mixin traces each size anew.
- Classes from `num_classes` on are learned as background without an error. The mixin checks labels.
"""

import math
import os
from typing import Any

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.detection.box_formats import check_box_format
from keras_mambaout.detection.non_max_suppression import MultiClassNonMaxSuppression
from keras_mambaout.integrations.detector_mixin import DetectorMixin
from keras_mambaout.layers.head_layers import VarianceScaling, normal
from keras_mambaout.models.backbone import MambaOutBackbone
from keras_mambaout.models.dense_prediction import dense_prediction_backbone
from keras_mambaout.serialization import PACKAGE

try:
    import keras_hub
except ImportError as error:
    raise ImportError(f'KerasHub cannot be imported ({error}): pip install "keras-mambaout[detection]"') from error

MIN_LEVEL, MAX_LEVEL = 3, 7  # of RetinaNet's feature pyramid; the backbone has levels 2 to 5
PRIOR_PROBABILITY, LAST_DEVIATION = 0.01, 0.01  # of the RetinaNet paper
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # as well


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_hub")
class MambaOutPyramidBackbone(MambaOutBackbone, keras_hub.models.FeaturePyramidBackbone):
    """`MambaOutBackbone` as a `keras_hub.models.FeaturePyramidBackbone`.

    Arguments, shapes, errors and numbers are those of `keras_mambaout.MambaOutBackbone`. In addition it has
    KerasHub's `save_to_preset` and `from_preset` for a folder, and works with KerasHub's tasks.

    Example:
    ```python
    backbone = MambaOutPyramidBackbone("mambaout_tiny", weights="imagenet")
    backbone.save_to_preset("tiny")
    backbone = keras_hub.models.Backbone.from_preset("tiny")
    ```
    """


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_hub")
class MambaOutImageClassifier(keras_hub.models.ImageClassifier):
    """`keras_hub.models.ImageClassifier` over a `MambaOutPyramidBackbone`.

    Arguments, shapes and errors are those of KerasHub: average or max pooling and one dense layer. For the
    paper's head and its weights, use `keras_mambaout.create_model`. `keras_hub.models.ImageClassifier`
    itself works over the backbone just as well, but when KerasHub reads a preset, it looks for a subclass with this
    backbone, so only this class can be loaded from one.

    Example:
    ```python
    classifier = MambaOutImageClassifier(MambaOutPyramidBackbone("mambaout_tiny", weights="imagenet"), num_classes=5)
    classifier.fit(images, labels)
    classifier.save_to_preset("flowers")
    classifier = keras_hub.models.ImageClassifier.from_preset("flowers")
    ```
    """

    backbone_cls = MambaOutPyramidBackbone


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_hub")
class RetinaNetObjectDetector(DetectorMixin, keras_hub.models.RetinaNetObjectDetector):
    """`keras_hub.models.RetinaNetObjectDetector` for images of any size; see `retinanet`."""

    size_multiple = 2**MAX_LEVEL
    class_name = "labels"

    def compile(
        self, optimizer: Any = "auto", box_loss: Any = "auto", classification_loss: Any = "auto", **kwargs: Any
    ) -> None:
        """As in KerasHub, but `"auto"` losses are those of the paper, summed over coordinates and classes."""
        weights = {"bbox_regression": 1.0, "cls_logits": 1.0}
        if box_loss == "auto":
            box_loss = keras.losses.Huber(reduction="sum")
            weights["bbox_regression"] = 4.0  # Keras' losses are means over the last axis
        if classification_loss == "auto":
            classification_loss = keras.losses.BinaryFocalCrossentropy(
                apply_class_balancing=True, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, from_logits=True, reduction="sum"
            )
            weights["cls_logits"] = float(self.output["cls_logits"].shape[-1])
        kwargs.setdefault("loss_weights", weights)
        super().compile(optimizer, box_loss, classification_loss, **kwargs)


def retinanet(
    backbone: str | MambaOutConfig | keras.Model = "mambaout_tiny",
    num_classes: int = 80,
    bounding_box_format: str = "xyxy",
    weights: str | os.PathLike | None = "imagenet",
    drop_path_rate: float | None = None,
    confidence_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_detections: int = 100,
    **kwargs: Any,
) -> RetinaNetObjectDetector:
    """Builds KerasHub's RetinaNet over a MambaOut backbone.

    Args:
        backbone: Name of a variant (`keras_mambaout.list_models()`) or a `MambaOutConfig`; or a
            `MambaOutBackbone` with `output_norms=True, pad_to_multiple=128`.
        num_classes: Number of classes, without background.
        bounding_box_format: Format of the boxes in labels and predictions: "xyxy", "yxyx", "xywh",
            "center_xywh", "center_yxhw" in pixels, or "rel_xyxy", "rel_yxyx", "rel_xywh" from 0 to 1.
        weights: Weights of the backbone: `"imagenet"`, a tag, a path or `None`, as for `MambaOutBackbone`.
        drop_path_rate: Stochastic depth of the backbone; `None` is the paper's rate for detection (tiny 0.3,
            small 0.4, base 0.6).
        confidence_threshold: `predict` returns detections with a higher confidence; for COCO's AP it should be low.
        iou_threshold: Detections of one class with a higher IoU count as one object.
        max_detections: Rows that `predict` returns.
        **kwargs: Further arguments of `keras_hub.models.RetinaNetObjectDetector`, such as `use_prediction_head_norm`.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB; they are padded to multiples of 128. Labels: a
        dict of `"boxes"` `(B, N, 4)` and `"classes"` (or `"labels"`) `(B, N)` from 0, padded with rows of
        -1. `predict` returns a dict of `"boxes"` `(B, max_detections, 4)`, `"confidence"` and `"labels"`
        `(B, max_detections)`, -1 in rows without a detection, and `"num_detections"` `(B,)`.

    Returns:
        A `RetinaNetObjectDetector`, which is a `keras_hub.models.RetinaNetObjectDetector`. Compile it
        with an optimizer and without losses (they are the paper's focal loss and Huber loss), and again after
        loading with `keras_mambaout.load_model`.

    Raises:
        ValueError: If an argument is outside what is listed above; in `fit` and `evaluate` if labels
            have a different structure, numbers that are not finite, or classes from `num_classes` on.

    Example:
    ```python
    from keras_mambaout.integrations.keras_hub import retinanet

    detector = retinanet("mambaout_tiny", num_classes=80, bounding_box_format="xyxy")
    detector.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.05, global_clipnorm=10.0))
    detector.fit(train_dataset, epochs=12)
    ```

    Source: [Lin et al., Focal loss for dense object detection](https://arxiv.org/abs/1708.02002)
    """
    check_positive_integer("num_classes", num_classes)
    check_box_format(bounding_box_format)
    multiple = RetinaNetObjectDetector.size_multiple
    encoder = dense_prediction_backbone(backbone, weights, drop_path_rate, multiple, levels=(3, 4, 5))
    pyramid = keras_hub.models.RetinaNetBackbone(
        image_encoder=encoder,
        min_level=MIN_LEVEL,
        max_level=MAX_LEVEL,
        use_p5=False,
        image_shape=encoder.input_shape[1:],
    )
    detector = RetinaNetObjectDetector(
        pyramid,
        num_classes,
        bounding_box_format=bounding_box_format,
        anchor_generator=keras_hub.layers.AnchorGenerator(
            "xyxy", MIN_LEVEL, MAX_LEVEL, num_scales=3, aspect_ratios=[0.5, 1.0, 2.0], anchor_size=4.0
        ),
        prediction_decoder=MultiClassNonMaxSuppression(
            "xyxy",
            from_logits=True,
            confidence_threshold=confidence_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            class_name="labels",
        ),
        **kwargs,
    )
    _initialize_head(detector.classification_head, -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))
    _initialize_head(detector.box_head, 0.0)
    return detector


def _initialize_head(head, bias):
    """Draws kernels that keep the scale of features (He et al.), and the paper's small last layer with its bias."""
    for layer in head.conv_layers:
        layer.kernel.assign(VarianceScaling(2.0, "fan_in")(layer.kernel.shape))
    last = head.prediction_layer
    last.kernel.assign(normal(LAST_DEVIATION)(last.kernel.shape))
    last.bias.assign(keras.ops.full(last.bias.shape, bias))
