"""Turns many overlapping predictions into one detection per object."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_mambaout.arguments import check_number
from keras_mambaout.detection.box_formats import check_box_format
from keras_mambaout.detection.boxes import pairwise_iou
from keras_mambaout.detection.rows import gather
from keras_mambaout.layers import kernels
from keras_mambaout.serialization import serializable


def non_max_suppression(boxes: Any, scores: Any, classes: Any, iou_threshold: float) -> Any:
    """Greedy non-maximum suppression within each class, or regardless of classes.

    `keep[j] = not any(keep[i] and classes[i] == classes[j] and IoU(i, j) > iou_threshold for i < j)`

    This recursion has one solution, which repeated evaluation for all `j` at once reaches: box `j`
    is final after at most `j + 1` rounds, and in practice after as many as the longest chain of boxes that
    suppress one another. So it takes a few large operations on every backend, and it is exact.

    Args:
        boxes: `(B, K, 4)` as `"xyxy"`, by descending score.
        scores: `(B, K)`; rows with a score of 0 or less are not candidates.
        classes: `(B, K)` integers, or `None` if all boxes belong to one class.
        iou_threshold: Number in [0, 1].

    Returns:
        Boolean tensor `(B, K)`: the boxes that are kept.

    Source: [torchvision.ops.batched_nms](https://docs.pytorch.org/vision/stable/generated/torchvision.ops.batched_nms.html)
    """
    overlap = pairwise_iou(boxes, boxes)  # (B, K, K)
    rank = ops.arange(boxes.shape[1])
    suppresses = ops.logical_and(overlap > iou_threshold, rank[:, None] < rank[None, :])  # (B, i, j)
    if classes is not None:
        suppresses = ops.logical_and(suppresses, classes[:, :, None] == classes[:, None, :])
    candidates = scores > 0

    def one_round(keep, _):
        suppressed = ops.any(ops.logical_and(suppresses, keep[:, :, None]), axis=1)
        kept = ops.logical_and(candidates, ops.logical_not(suppressed))
        return kept, ops.any(ops.not_equal(kept, keep))

    keep, _ = kernels.while_loop(lambda keep, changed: changed, one_round, (candidates, ops.any(candidates)))
    return keep


def detect_by_class(
    boxes: Any,
    scores: Any,
    iou_threshold: float,
    confidence_threshold: float,
    max_detections: int,
    max_candidates: int,
    to_corners: Callable[[Any], Any] = lambda boxes: boxes,
) -> tuple[Any, Any, Any]:
    """Turns boxes and class scores into detections, as `MultiClassNonMaxSuppression` describes.

    Args:
        boxes: `(B, N, C, 4)`, one box for each class, or `(B, N, 1, 4)`, one for all classes.
        scores: `(B, N, C)`, float32.
        iou_threshold: As for `MultiClassNonMaxSuppression`.
        confidence_threshold: As for `MultiClassNonMaxSuppression`.
        max_detections: As for `MultiClassNonMaxSuppression`.
        max_candidates: As for `MultiClassNonMaxSuppression`.
        to_corners: Function that converts boxes to `"xyxy"`.

    Returns:
        Boxes `(B, max_detections, 4)`, confidence and classes `(B, max_detections)` by descending confidence; -1
        in rows without a detection.
    """
    batch, num_classes, per_row = ops.shape(scores)[0], scores.shape[-1], boxes.shape[2]
    boxes = ops.reshape(boxes, (batch, -1, 4))  # (B, N * C or N, 4)
    scores = ops.reshape(scores, (batch, -1))  # (B, N * C)
    scores = ops.where(scores > confidence_threshold, scores, 0.0)
    scores = ops.pad(scores, ((0, 0), (0, max_candidates)))  # so that there are always enough
    scores, indices = ops.top_k(scores, max_candidates)  # (B, K), by descending score
    classes = indices % num_classes
    rows = indices if per_row > 1 else indices // num_classes
    boxes = gather(boxes, ops.minimum(rows, ops.shape(boxes)[1] - 1))  # (B, K, 4)

    keep = non_max_suppression(to_corners(boxes), scores, classes, iou_threshold)
    confidence, best = ops.top_k(ops.where(keep, scores, 0.0), max_detections)
    found = confidence > 0
    return (
        ops.where(found[..., None], gather(boxes, best), -1.0),
        ops.where(found, confidence, -1.0),
        ops.where(found, gather(classes, best), -1),
    )


@serializable
class MultiClassNonMaxSuppression(keras.layers.Layer):
    """Decodes boxes and class scores into detections, class by class, on any backend.

    Each pair of box and class with a score above `confidence_threshold` is a candidate; the
    `max_candidates` best go through non-maximum suppression within their class, and the
    `max_detections` best of what is left are returned. That is how COCO's AP is measured. The layers
    of KerasCV and KerasHub are not used: they keep one class per box and suppress across classes, and KerasCV's
    needs torchvision on PyTorch. Their detectors take this layer as `prediction_decoder`.

    Args:
        bounding_box_format: Format of the boxes, of inputs and outputs, one of `BOX_FORMATS`.
        from_logits: Whether class predictions are logits, to which a sigmoid is applied.
        iou_threshold: Boxes of one class with a higher IoU count as one object.
        confidence_threshold: Candidates have a higher score.
        max_detections: Number of rows returned.
        max_candidates: Number of candidates that are compared with each other.
        class_name: Name of the classes in the output: `"classes"` as in KerasCV, or `"labels"` as
            in KerasHub.

    Shapes:
        Boxes `(B, N, 4)` and class scores `(B, N, C)` -> a dict of `"boxes"` `(B, max_detections, 4)`,
        `"confidence"` and `"classes"` `(B, max_detections)` by descending confidence, -1 where there
        is no detection, and `"num_detections"` `(B,)`.

    Example:
    ```python
    decoder = MultiClassNonMaxSuppression("xyxy", from_logits=True, confidence_threshold=0.5)
    detections = decoder(boxes, logits)
    ```

    Source: [Lin et al., Focal loss for dense object detection](https://arxiv.org/abs/1708.02002), section 4.1
    """

    def __init__(
        self,
        bounding_box_format: str,
        from_logits: bool,
        iou_threshold: float = 0.5,
        confidence_threshold: float = 0.05,
        max_detections: int = 100,
        max_candidates: int = 1000,
        class_name: str = "classes",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.bounding_box_format = check_box_format(bounding_box_format)
        self.from_logits = from_logits
        self.iou_threshold = float(check_number("iou_threshold", iou_threshold, maximum=1.0))
        self.confidence_threshold = float(check_number("confidence_threshold", confidence_threshold, maximum=1.0))
        self.max_detections = max_detections
        self.max_candidates = max(max_candidates, max_detections)
        self.class_name = class_name
        self.built = True

    def call(
        self, box_prediction: Any, class_prediction: Any, images: Any = None, image_shape: Any = None
    ) -> dict[str, Any]:
        """Returns the detections; `images` and `image_shape`, which KerasHub and KerasCV pass, are not used."""
        scores = ops.cast(class_prediction, "float32")
        boxes, confidence, classes = detect_by_class(
            ops.cast(box_prediction, "float32")[:, :, None],
            ops.sigmoid(scores) if self.from_logits else scores,
            self.iou_threshold,
            self.confidence_threshold,
            self.max_detections,
            self.max_candidates,
            self._to_corners,
        )
        found = confidence > 0
        return {
            "boxes": boxes,
            "confidence": confidence,
            self.class_name: ops.cast(classes, "float32"),
            "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
        }

    def _to_corners(self, boxes):
        """Returns boxes as `"xyxy"` in any unit: the overlap of two boxes is the same in relative coordinates."""
        source = self.bounding_box_format.removeprefix("rel_")
        return keras.utils.bounding_boxes.convert_format(boxes, source=source, target="xyxy")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "from_logits": self.from_logits,
            "iou_threshold": self.iou_threshold,
            "confidence_threshold": self.confidence_threshold,
            "max_detections": self.max_detections,
            "max_candidates": self.max_candidates,
            "class_name": self.class_name,
        }
