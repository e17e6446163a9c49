"""From many overlapping predictions to one detection an object."""

import keras
from keras import ops

from keras_mambaout.arguments import check_number
from keras_mambaout.detection.boxes import check_box_format
from keras_mambaout.detection.rows import gather
from keras_mambaout.serialization import PACKAGE


def non_max_suppression(boxes, scores, classes, iou_threshold):
    """Greedy non-maximum suppression within each class, or regardless of classes.

    `keep[j] = not any(keep[i] and classes[i] == classes[j] and IoU(i, j) > iou_threshold for i < j)`

    This recursion has one solution, which repeated evaluation for all `j` at once reaches: box `j`
    is final after `j + 1` rounds at most, and in practice after as many as suppressions follow
    from one another. So it is a few large operations on every backend, and exact.

    Args:
        boxes: `(B, K, 4)` as `"xyxy"`, by descending score.
        scores: `(B, K)`; rows with a score of 0 or less are no candidates.
        classes: `(B, K)` integers, or `None`: all boxes are of one class.
        iou_threshold: Number in [0, 1].

    Returns:
        Boolean tensor `(B, K)`: the boxes that are kept.

    Source: [torchvision.ops.batched_nms](https://docs.pytorch.org/vision/stable/generated/torchvision.ops.batched_nms.html)
    """
    overlap = keras.utils.bounding_boxes.compute_iou(boxes, boxes, "xyxy")  # (B, K, K)
    rank = ops.arange(boxes.shape[1])
    suppresses = ops.logical_and(overlap > iou_threshold, rank[:, None] < rank[None, :])  # (B, i, j)
    if classes is not None:
        suppresses = ops.logical_and(suppresses, classes[:, :, None] == classes[:, None, :])
    candidates = scores > 0

    def one_round(keep, _):
        suppressed = ops.any(ops.logical_and(suppresses, keep[:, :, None]), axis=1)
        kept = ops.logical_and(candidates, ops.logical_not(suppressed))
        return kept, ops.any(ops.not_equal(kept, keep))

    keep, _ = ops.while_loop(lambda keep, changed: changed, one_round, (candidates, ops.any(candidates)))
    return keep


def detect_by_class(
    boxes,
    scores,
    iou_threshold,
    confidence_threshold,
    max_detections,
    max_candidates,
    to_corners=lambda boxes: boxes,
):
    """Turns boxes and scores of classes into detections, as `MultiClassNonMaxSuppression` describes.

    Args:
        boxes: `(B, N, C, 4)`, a box for each class, or `(B, N, 1, 4)`, one for all.
        scores: `(B, N, C)`, float32.
        iou_threshold: See `MultiClassNonMaxSuppression`, and the next three too.
        confidence_threshold: Number.
        max_detections: Number of rows returned.
        max_candidates: Number of boxes that are compared with each other.
        to_corners: Function that makes `"xyxy"` of boxes.

    Returns:
        Boxes `(B, max_detections, 4)`, confidence and classes `(B, max_detections)` by descending confidence; -1
        in rows without detection.
    """
    batch, num_classes, per_row = ops.shape(scores)[0], scores.shape[-1], boxes.shape[2]
    boxes = ops.reshape(boxes, (batch, -1, 4))  # (B, N * C or N, 4)
    scores = ops.reshape(scores, (batch, -1))  # (B, N * C)
    scores = ops.where(scores > confidence_threshold, scores, 0.0)
    scores = ops.pad(scores, ((0, 0), (0, max_candidates)))  # there are always enough
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


@keras.saving.register_keras_serializable(PACKAGE)
class MultiClassNonMaxSuppression(keras.layers.Layer):
    """Decodes boxes and class scores into detections, class by class, on any backend.

    Each pair of box and class with a score above `confidence_threshold` is a candidate; the
    `max_candidates` best go through non-maximum suppression within their class, and the
    `max_detections` best that are left are returned. That is how COCO's AP is measured. The layers
    of KerasCV and KerasHub keep one class a box and suppress across classes, and KerasCV's needs
    torchvision under PyTorch. It goes into their detectors as `prediction_decoder`.

    Args:
        bounding_box_format: Format of the boxes in and out, one of `BOX_FORMATS`.
        from_logits: Whether class predictions are logits, to which a sigmoid is applied.
        iou_threshold: Boxes of a class that overlap more than this are one object.
        confidence_threshold: Candidates score more than this.
        max_detections: Number of rows returned.
        max_candidates: How many candidates are compared with each other.
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
        bounding_box_format,
        from_logits,
        iou_threshold=0.5,
        confidence_threshold=0.05,
        max_detections=100,
        max_candidates=1000,
        class_name="classes",
        **kwargs,
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

    def call(self, box_prediction, class_prediction, images=None, image_shape=None):
        """`images` and `image_shape` are not needed; KerasHub's and KerasCV's detectors pass them."""
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
        """As `"xyxy"` in any unit: the overlap of two boxes is the same in relative coordinates."""
        source = self.bounding_box_format.removeprefix("rel_")
        return keras.utils.bounding_boxes.convert_format(boxes, source=source, target="xyxy")

    def get_config(self):
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
