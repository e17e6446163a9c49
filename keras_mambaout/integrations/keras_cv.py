"""MambaOut under KerasCV's RetinaNet and YOLOv8.

KerasCV 0.9.0 is its last release, and it imports TensorFlow with every backend; KerasHub
(`keras_mambaout.integrations.keras_hub`) is its successor.
What KerasCV 0.9.0 gets wrong with current Keras is worked around here and in `detector_mixin.py`:

- `predict` on PyTorch needs torchvision, which its NonMaxSuppression imports. We use our own decoder.
- Images whose sides are not multiples of 32 fail in the first call, since the levels of the feature
  pyramid do not match. The backbone pads, and the mixin adapts the anchors.
- A second image size fails on TensorFlow, since Keras then traces with unknown sizes, for which no anchors can be
  made. The mixin traces each size anew.
- `train_on_batch` and `test_on_batch` fail (too many values to unpack), and `predict_on_batch` takes the
  batch for an image. The mixin has its own steps.
- Classes from `num_classes` on are learned as background without an error. The mixin checks labels.
- TensorFlow warns that the lowest level of the backbone has no gradient. Its norm is frozen.
- Keras warns that RetinaNet gets images as a tensor where a dict is declared. They are put into a dict.
- A loaded model is not compiled: compile it again before `fit`.
"""

import os
from typing import Any, ClassVar

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.config import MambaOutConfig
from keras_mambaout.detection.box_formats import check_box_format
from keras_mambaout.detection.non_max_suppression import MultiClassNonMaxSuppression
from keras_mambaout.integrations.detector_mixin import DetectorMixin
from keras_mambaout.models.dense_prediction import dense_prediction_backbone
from keras_mambaout.serialization import PACKAGE

try:
    import keras_cv
except ImportError as error:
    raise ImportError(f'KerasCV cannot be imported ({error}): pip install "keras-mambaout[detection]"') from error

LEVELS = (3, 4, 5)  # of the backbone, which both heads read


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_cv")
class RetinaNet(DetectorMixin, keras_cv.models.RetinaNet):
    """`keras_cv.models.RetinaNet` for images of any size; see `retinanet`."""

    default_losses: ClassVar[dict[str, str]] = {"box_loss": "smoothl1", "classification_loss": "focal"}

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
        return super().call(inputs, *args, **kwargs)


@keras.saving.register_keras_serializable(f"{PACKAGE}.keras_cv")
class YOLOV8Detector(DetectorMixin, keras_cv.models.YOLOV8Detector):
    """`keras_cv.models.YOLOV8Detector` for images of any size; see `yolov8_detector`."""

    default_losses: ClassVar[dict[str, str]] = {"box_loss": "ciou", "classification_loss": "binary_crossentropy"}


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
) -> RetinaNet:
    """Builds KerasCV's RetinaNet over a MambaOut backbone.

    Args:
        backbone: Name of a variant (`keras_mambaout.list_models()`) or a `MambaOutConfig`; or a
            `MambaOutBackbone` with `output_norms=True, pad_to_multiple=32`.
        num_classes: Number of classes, without background.
        bounding_box_format: Format of the boxes in labels and predictions: "xyxy", "yxyx", "xywh",
            "center_xywh", "center_yxhw" in pixels, or "rel_xyxy", "rel_yxyx", "rel_xywh" from 0 to 1.
        weights: Weights of the backbone: `"imagenet"`, a tag, a path or `None`, as for `MambaOutBackbone`.
        drop_path_rate: Stochastic depth of the backbone; `None` is the paper's rate for detection (tiny 0.3,
            small 0.4, base 0.6).
        confidence_threshold: `predict` returns detections with a higher confidence; for COCO's AP it should be low.
        iou_threshold: Detections of one class with a higher IoU count as one object.
        max_detections: Rows that `predict` returns.
        **kwargs: Further arguments of `keras_cv.models.RetinaNet`, such as `box_head`.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB. Labels: a dict of `"boxes"` `(B, N, 4)` and
        `"classes"` `(B, N)` from 0, padded with rows of -1. `predict` returns a dict of `"boxes"`
        `(B, max_detections, 4)`, `"confidence"` and `"classes"` `(B, max_detections)`, -1 in rows
        without a detection, and `"num_detections"` `(B,)`.

    Returns:
        A `RetinaNet`, which is a `keras_cv.models.RetinaNet`. Compile it again after loading
        with `keras_mambaout.load_model`.

    Raises:
        ValueError: If an argument is outside what is listed above; in `fit` and `evaluate` if labels
            have a different structure, numbers that are not finite, or classes from `num_classes` on.

    Example:
    ```python
    from keras_mambaout.integrations.keras_cv import retinanet

    detector = retinanet("mambaout_tiny", num_classes=80, bounding_box_format="xyxy")
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.05, global_clipnorm=10.0)
    detector.compile(optimizer=optimizer, box_loss="smoothl1", classification_loss="focal")
    detector.fit(train_dataset, epochs=12)
    ```

    Source: [Lin et al., Focal loss for dense object detection](https://arxiv.org/abs/1708.02002)
    """
    return RetinaNet(
        backbone=dense_prediction_backbone(backbone, weights, drop_path_rate, RetinaNet.size_multiple, LEVELS),
        num_classes=check_positive_integer("num_classes", num_classes),
        bounding_box_format=check_box_format(bounding_box_format),
        prediction_decoder=MultiClassNonMaxSuppression(
            bounding_box_format,
            from_logits=True,
            confidence_threshold=confidence_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        ),
        **kwargs,
    )


def yolov8_detector(
    backbone: str | MambaOutConfig | keras.Model = "mambaout_tiny",
    num_classes: int = 80,
    bounding_box_format: str = "xyxy",
    weights: str | os.PathLike | None = "imagenet",
    drop_path_rate: float | None = None,
    fpn_depth: int = 2,
    confidence_threshold: float = 0.05,
    iou_threshold: float = 0.7,
    max_detections: int = 100,
    **kwargs: Any,
) -> YOLOV8Detector:
    """Builds KerasCV's YOLOv8 detector over a MambaOut backbone.

    Args:
        backbone: Name of a variant (`keras_mambaout.list_models()`) or a `MambaOutConfig`; or a
            `MambaOutBackbone` with `output_norms=True, pad_to_multiple=32`.
        num_classes: Number of classes, without background.
        bounding_box_format: Format of the boxes in labels and predictions: "xyxy", "yxyx", "xywh",
            "center_xywh", "center_yxhw" in pixels, or "rel_xyxy", "rel_yxyx", "rel_xywh" from 0 to 1.
        weights: Weights of the backbone: `"imagenet"`, a tag, a path or `None`, as for `MambaOutBackbone`.
        drop_path_rate: Stochastic depth of the backbone; `None` is the paper's rate for detection (tiny 0.3,
            small 0.4, base 0.6).
        fpn_depth: Depth of the blocks in the feature pyramid, 1 to 3.
        confidence_threshold: `predict` returns detections with a higher confidence; for COCO's AP it should be low.
        iou_threshold: Detections of one class with a higher IoU count as one object.
        max_detections: Rows that `predict` returns.
        **kwargs: Further arguments of `keras_cv.models.YOLOV8Detector`, such as `label_encoder`.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB. Labels: a dict of `"boxes"` `(B, N, 4)` and
        `"classes"` `(B, N)` from 0, padded with rows of -1. `predict` returns a dict of `"boxes"`
        `(B, max_detections, 4)`, `"confidence"` and `"classes"` `(B, max_detections)`, -1 in rows
        without a detection, and `"num_detections"` `(B,)`.

    Returns:
        A `YOLOV8Detector`, which is a `keras_cv.models.YOLOV8Detector`. Compile it again after loading
        with `keras_mambaout.load_model`.

    Raises:
        ValueError: If an argument is outside what is listed above; in `fit` and `evaluate` if labels
            have a different structure, numbers that are not finite, or classes from `num_classes` on.

    Example:
    ```python
    from keras_mambaout.integrations.keras_cv import yolov8_detector

    detector = yolov8_detector("mambaout_tiny", num_classes=80, bounding_box_format="xyxy")
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.05, global_clipnorm=10.0)
    detector.compile(optimizer=optimizer, box_loss="ciou", classification_loss="binary_crossentropy")
    detector.fit(train_dataset, epochs=12)
    ```

    Source: KerasCV's `YOLOV8Detector`, after [Ultralytics YOLOv8](https://github.com/ultralytics/ultralytics)
    """
    return YOLOV8Detector(
        backbone=dense_prediction_backbone(backbone, weights, drop_path_rate, YOLOV8Detector.size_multiple, LEVELS),
        num_classes=check_positive_integer("num_classes", num_classes),
        bounding_box_format=check_box_format(bounding_box_format),
        fpn_depth=fpn_depth,
        prediction_decoder=MultiClassNonMaxSuppression(
            bounding_box_format,
            from_logits=False,
            confidence_threshold=confidence_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        ),
        **kwargs,
    )
