"""MambaOut in KerasHub: as a backbone for its tasks and presets, and under its RetinaNet.

What KerasHub 0.32 gets wrong is worked round here and in `detector_mixin.py`:

- The prior probability of focal loss is given to the head of boxes instead of that of classes: a
  new detector begins with every anchor half an object and every box far off; and its convolutions
  begin so large (standard deviation 0.05) that outputs grow from layer to layer. The heads are
  initialised anew.
- Its losses are means over classes and coordinates, so that classes weigh less the more there are, and
  focal loss is without its alpha: `compile` takes the paper's.
- `train_on_batch` and `test_on_batch` fail (labels are a dict, it wants a tensor): the mixin calls Keras' own.
- Anchors in a relative format fail (no image size is passed on), and its NonMaxSuppression takes
  a batch for an image there: anchors are in pixels, and another decoder is used.
- Images whose sides are no multiples of 32 fail (the levels of the feature pyramid do not fit
  together), and below a multiple of 128 the anchors of the coarsest levels have the wrong stride:
  the backbone pads, and the mixin makes the anchors fit.
- A second image size fails on TensorFlow, as in KerasCV: the mixin traces each size anew.
- Classes from `num_classes` on are learned as background without a word: the mixin's checks.
"""

import math

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.detection.boxes import check_box_format
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
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # too


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_hub")
class MambaOutPyramidBackbone(MambaOutBackbone, keras_hub.models.FeaturePyramidBackbone):
    """`MambaOutBackbone` as a `keras_hub.models.FeaturePyramidBackbone`.

    Arguments, shapes, errors and numbers are those of `keras_mambaout.MambaOutBackbone`. With it come
    KerasHub's `save_to_preset` and `from_preset` for a folder, and KerasHub's tasks.

    Example:
    ```python
    backbone = MambaOutPyramidBackbone("mambaout_tiny", weights="imagenet")
    backbone.save_to_preset("tiny")
    backbone = keras_hub.models.Backbone.from_preset("tiny")
    ```
    """


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_hub")
class MambaOutImageClassifier(keras_hub.models.ImageClassifier):
    """`keras_hub.models.ImageClassifier` over a `MambaOutPyramidBackbone`, and what a preset with one becomes.

    Arguments, shapes and errors are KerasHub's: average or max pooling and one dense layer. For the
    paper's head and its weights take `keras_mambaout.create_model`. `keras_hub.models.ImageClassifier`
    itself works over the backbone just as well, but KerasHub looks for a subclass of it with this
    backbone when it reads a preset, so only this one is found again.

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

    def compile(self, optimizer="auto", box_loss="auto", classification_loss="auto", **kwargs):
        """As KerasHub's; `"auto"` losses are those of the paper, summed over coordinates and classes."""
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
    backbone="mambaout_tiny",
    num_classes=80,
    bounding_box_format="xyxy",
    weights="imagenet",
    drop_path_rate=None,
    confidence_threshold=0.05,
    iou_threshold=0.5,
    max_detections=100,
    **kwargs,
):
    """Builds KerasHub's RetinaNet over a MambaOut backbone.

    Args:
        backbone: Name of a variant (`keras_mambaout.list_models()`) or a `MambaOutConfig`; or a
            `MambaOutBackbone` with `output_norms=True, pad_to_multiple=128`.
        num_classes: Number of classes, without background.
        bounding_box_format: Format of the boxes in labels and predictions: "xyxy", "yxyx", "xywh",
            "center_xywh", "center_yxhw" in pixels, or "rel_xyxy", "rel_yxyx", "rel_xywh" from 0 to 1.
        weights: Of the backbone: `"imagenet"`, a tag, a path or `None`, as for `MambaOutBackbone`.
        drop_path_rate: Stochastic depth of the backbone; `None` is the paper's for detection (tiny 0.3,
            small 0.4, base 0.6).
        confidence_threshold: `predict` returns detections with a higher score; COCO's AP wants it low.
        iou_threshold: Detections of a class that overlap more are one.
        max_detections: Rows of `predict`.
        **kwargs: Of `keras_hub.models.RetinaNetObjectDetector`, such as `use_prediction_head_norm`.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB; they are padded to multiples of 128. Labels: a
        dict of `"boxes"` `(B, N, 4)` and `"classes"` (or `"labels"`) `(B, N)` from 0, padded with rows of
        -1. `predict` returns a dict of `"boxes"` `(B, max_detections, 4)`, `"confidence"` and `"labels"`
        `(B, max_detections)`, -1 in rows without a detection, and `"num_detections"` `(B,)`.

    Returns:
        A `RetinaNetObjectDetector`, which is a `keras_hub.models.RetinaNetObjectDetector`. Compile it
        with an optimizer alone (losses are the paper's focal loss and Huber loss), again after
        loading. A file that it was saved to loads after `import keras_mambaout.integrations.keras_hub`.

    Raises:
        ValueError: If an argument is outside of what is listed above; in `fit` and `evaluate` if labels
            have another structure, numbers that are not finite, or classes from `num_classes` on.

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
    """Kernels that keep the size of features (He et al.), and the paper's small last layer with its bias."""
    for layer in head.conv_layers:
        layer.kernel.assign(VarianceScaling(2.0, "fan_in")(layer.kernel.shape))
    last = head.prediction_layer
    last.kernel.assign(normal(LAST_DEVIATION)(last.kernel.shape))
    last.bias.assign(keras.ops.full(last.bias.shape, bias))
