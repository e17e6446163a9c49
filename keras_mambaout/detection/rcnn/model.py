"""Mask R-CNN over MambaOut: the paper's system for COCO."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mambaout.arguments import check_number, check_positive_integer
from keras_mambaout.detection.boxes import clean_labels, clip_boxes
from keras_mambaout.detection.labels import ObjectLabels, class_key
from keras_mambaout.detection.non_max_suppression import detect_by_class
from keras_mambaout.detection.rcnn import losses
from keras_mambaout.detection.rcnn.anchors import make_anchors
from keras_mambaout.detection.rcnn.box_coder import BOX_DEVIATIONS, decode_boxes
from keras_mambaout.detection.rcnn.box_head import BoxHead
from keras_mambaout.detection.rcnn.feature_pyramid import FeaturePyramid
from keras_mambaout.detection.rcnn.mask_head import MaskHead, needed_masks
from keras_mambaout.detection.rcnn.proposals import select_proposals
from keras_mambaout.detection.rcnn.roi_align import multiscale_roi_align
from keras_mambaout.detection.rcnn.rpn_head import RPNHead
from keras_mambaout.detection.rcnn.targets import box_targets, mask_targets, proposal_targets
from keras_mambaout.detection.rows import gather
from keras_mambaout.inference_settings import DetectionSettings
from keras_mambaout.layers.composite import not_rematerialized, saved_dtype
from keras_mambaout.layers.replicas import replica_share
from keras_mambaout.models.dense_prediction import ALL_LEVELS, dense_prediction_backbone
from keras_mambaout.models.mixins import InferenceSettingsMixin, LabelCheckMixin
from keras_mambaout.serialization import serializable

BOX_SIZE, MASK_SIZE = 7, 14  # sides of the features that the heads get
STRIDES = (4, 8, 16, 32, 64)
SIZE_MULTIPLE = 32
MAX_CANDIDATES = 2000
LOSSES = ("rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss")


@serializable
class MaskRCNN(InferenceSettingsMixin, LabelCheckMixin, keras.Model):
    """Mask R-CNN with a feature pyramid: boxes, classes, confidence and masks of the objects in images.

    A backbone and a `FeaturePyramid`; an `RPNHead`, whose best boxes are cut out of the pyramid by RoIAlign;
    a `BoxHead`, which says what is in them and exactly where; and a `MaskHead`, which predicts the mask. All shapes
    depend only on the size of the images.

    `loss = rpn_class_loss + rpn_box_loss + class_loss + box_loss + mask_loss`, see `losses.py`.

    Args:
        backbone: A `MambaOutBackbone` with `output_norms=True, pad_to_multiple=32`.
        num_classes: Number of classes, without background.
        confidence_threshold: `predict` returns detections with a higher confidence; for COCO's AP it should be low.
        iou_threshold: Detections of one class with a higher IoU count as one object.
        max_detections: Rows that `predict` returns.
        channels: Channels of the pyramid and the heads.
        proposals: Largest number of proposals per image for the second stage. In training they are chosen from
            twice as many on each level, whose overlaps are most of the memory of small models.
        box_samples: Proposals per image that the second stage learns from, at most a quarter of them objects.
            Fewer take less time and memory, most of all in the mask head.
        seed: Integer seed of the random samples, which are the same on every backend.
        inference_settings: `DetectionSettings`: class names, and the size of images. `train` sets them;
            `model.inference_settings` can be set later too.
        dtype: Dtype policy of the heads; `None` is Keras' global one. Losses and boxes are float32.
        name: Name of the model.

    Shapes:
        Images `(B, H, W, 3)` of any size, 0-255 RGB, which the model pads to multiples of 32; or a dict of `"images"`
        and `"sizes"` `(B, 2)`, the height and width of each image without its padding at the bottom and the right.
        Labels: a dict of `"boxes"` `(B, N, 4)` as `"xyxy"` in pixels, `"classes"` `(B, N)` from 0, and `"masks"`
        `(B, N, M, M)`, 0 or 1, each in the frame of its box; rows of -1 are padding. Objects without area
        inside the image are ignored; images without objects are background. With `"image_id"` `(B,)`, integers,
        random samples depend on the image, and not on its place in the batch.
        `predict` returns a dict of `"boxes"` `(B, max_detections, 4)`, `"confidence"` and `"classes"`
        `(B, max_detections)`, -1 in rows without a detection; `"masks"` `(B, max_detections, 28, 28)`,
        probabilities in the frames of the boxes; and `"num_detections"` `(B,)`.

    Raises:
        ValueError: If the backbone does not fit or an argument is outside what is listed above; in `fit` and
            `evaluate` if labels have a different structure, numbers that are not finite, or classes out of range.

    Example:
    ```python
    model = mask_rcnn("mambaout_tiny", num_classes=80)
    model.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.05))
    model.fit(dataset.batches(16, training=True, shortest_edge=800, masks=True, mask_size=112), epochs=12)
    (found,) = detect(model, [keras_mambaout.load_image("photo.jpg")])
    ```

    Source: [He et al., Mask R-CNN](https://arxiv.org/abs/1703.06870)
    """

    settings_class = DetectionSettings
    bounding_box_format = "xyxy"
    takes_sizes = True
    finds_masks = True

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int,
        confidence_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 100,
        channels: int = 256,
        proposals: int = 1000,
        box_samples: int = 512,
        seed: int = 0,
        inference_settings: DetectionSettings | Mapping | None = None,
        dtype: Any = None,
        name: str = "mask_rcnn",
        **kwargs: Any,
    ):
        # === Arguments ===
        check_positive_integer("num_classes", num_classes)
        super().__init__(dtype=dtype, autocast=False, name=name, **kwargs)  # sizes and images stay float32
        self.num_classes = num_classes
        self.confidence_threshold = float(check_number("confidence_threshold", confidence_threshold, maximum=1.0))
        self.iou_threshold = float(check_number("iou_threshold", iou_threshold, maximum=1.0))
        self.max_detections = check_positive_integer("max_detections", max_detections)
        self.channels = check_positive_integer("channels", channels)
        self.proposals = check_positive_integer("proposals", proposals)
        self.box_samples = check_positive_integer("box_samples", box_samples)
        self.seed = seed
        if box_samples < 4:
            raise ValueError(f"`box_samples` must be 4 or more (a quarter are objects), got {box_samples}.")

        self.inference_settings = inference_settings

        # === Layers ===
        dtype = self.dtype_policy
        self.backbone = dense_prediction_backbone(backbone, None, pad_to_multiple=SIZE_MULTIPLE)
        levels = [self.backbone.pyramid_outputs[f"P{level}"] for level in ALL_LEVELS]
        levels = FeaturePyramid(channels, dtype=dtype, name="feature_pyramid")(levels)
        self.pyramid = not_rematerialized(keras.Model)(self.backbone.input, levels, name="pyramid")
        self.rpn_head = RPNHead(channels, dtype=dtype, name="rpn_head")
        self.box_head = BoxHead(num_classes, dtype=dtype, name="box_head")
        self.mask_head = MaskHead(num_classes, channels, dtype=dtype, name="mask_head")
        self.rpn_head.build([(None, None, None, channels)])
        self.box_head.build((None, None, BOX_SIZE, BOX_SIZE, channels))
        self.mask_head.build((None, None, MASK_SIZE, MASK_SIZE, channels))
        self.built = True

        # === State ===
        self.seeds = keras.random.SeedGenerator(seed)
        self.trackers = [keras.metrics.Mean(name) for name in LOSSES]

    # === Forward ===

    def call(self, inputs: Any, training: bool = False, detect: bool = False) -> dict[str, Any]:
        """Returns the output of the first stage, a dict of tensors; with `detect=True`, what `predict` returns."""
        images, sizes = split_inputs(inputs)
        *features, coarsest = self.pyramid(images, training=training)
        logits, deltas = self.rpn_head([*features, coarsest])
        first_stage = {"features": features, "coarsest": coarsest, "logits": logits, "deltas": deltas}
        return self._second_stage(first_stage, sizes) if detect else first_stage

    def _second_stage(self, first_stage, sizes):
        anchors = self._anchors(first_stage)
        proposals, is_proposal, _ = select_proposals(
            anchors, first_stage["logits"], first_stage["deltas"], sizes, self.proposals, training=False
        )
        logits, deltas = self.box_head(multiscale_roi_align(first_stage["features"], proposals, BOX_SIZE))
        boxes = decode_boxes(ops.cast(deltas, "float32"), proposals[:, :, None], BOX_DEVIATIONS)  # (B, P, C, 4)
        boxes, has_area = clip_boxes(boxes, "xyxy", (sizes[:, :1, None], sizes[:, 1:, None]))
        scores = ops.softmax(ops.cast(logits, "float32"))[..., :-1]
        scores = ops.where(ops.logical_and(has_area, is_proposal[..., None]), scores, 0.0)
        boxes, confidence, classes = detect_by_class(
            boxes, scores, self.iou_threshold, self.confidence_threshold, self.max_detections, MAX_CANDIDATES
        )
        found = confidence > 0
        own = ops.maximum(ops.cast(classes, "int32"), 0)  # -1 where nothing was found
        features = multiscale_roi_align(first_stage["features"], boxes, MASK_SIZE)
        masks = ops.sigmoid(needed_masks(self.mask_head, features, own, found))  # (B, D, 28, 28)
        return {
            "boxes": boxes,
            "confidence": confidence,
            "classes": ops.cast(classes, "float32"),
            "masks": ops.where(found[..., None, None], masks, 0.0),
            "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
        }

    def _anchors(self, first_stage):
        levels = [*first_stage["features"], first_stage["coarsest"]]
        return [make_anchors(*ops.shape(level)[1:3], stride) for level, stride in zip(levels, STRIDES, strict=True)]

    # === Training ===

    @property
    def shared_generators(self) -> tuple[keras.random.SeedGenerator, ...]:
        """Generators that draw the same on all devices that share a batch: samples belong to images."""
        return (self.seeds,)

    @not_rematerialized
    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Draws samples, runs the second stage on them and returns the sum of the five losses.

        Sample weights are not used.
        """
        _, sizes = split_inputs(x)
        model_size = [STRIDES[0] * side for side in ops.shape(y_pred["features"][0])[1:3]]
        boxes, classes = clean_labels(
            y["boxes"], y[class_key(y)], self.num_classes, "xyxy", (sizes[:, :1], sizes[:, 1:]), model_size
        )
        is_object, image_ids = classes >= 0, y.get("image_id")

        levels = self._anchors(y_pred)
        anchors = ops.concatenate(levels, axis=0)  # (A, 4)
        logits, deltas = (ops.concatenate(y_pred[name], axis=1) for name in ("logits", "deltas"))
        rows, targets, is_positive, is_valid = proposal_targets(
            anchors, boxes, is_object, sizes, self.seeds.next(), image_ids
        )
        values = [*losses.proposal_losses(gather(logits, rows), gather(deltas, rows), targets, is_positive, is_valid)]

        proposals = select_proposals(levels, y_pred["logits"], y_pred["deltas"], sizes, self.proposals, training=True)
        samples = box_targets(
            *proposals, ops.shape(anchors)[0], boxes, classes, is_object, self.box_samples, self.seeds.next(), image_ids
        )
        drawn = (samples["classes"], samples["targets"], samples["is_positive"], samples["is_valid"])
        logits, deltas = self.box_head(multiscale_roi_align(y_pred["features"], samples["boxes"], BOX_SIZE))
        values += losses.box_losses(logits, deltas, *drawn)

        masks = mask_targets(y["masks"], ops.cast(y["boxes"], "float32"), samples)  # (B, 128, 28, 28)
        boxes, classes, positive = (samples[name][:, : masks.shape[1]] for name in ("boxes", "classes", "is_positive"))
        features = multiscale_roi_align(y_pred["features"], boxes, MASK_SIZE)
        logits = needed_masks(self.mask_head, features, ops.where(positive, classes, 0), positive)
        values.append(losses.mask_loss(logits, masks, positive))

        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return replica_share(sum(values) + sum(self.losses))

    @property
    def label_rule(self) -> ObjectLabels:
        """What labels must be, which `fit` and `evaluate` check."""
        return ObjectLabels(self.num_classes, masks=True)

    # === Prediction ===

    def predict_step(self, *args: Any) -> Any:
        """As Keras' step, with `detect=True`; on JAX, the model's state is the first argument."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        if keras.backend.backend() == "jax":
            return self.stateless_call(*args[0], images, training=False, detect=True)
        return self(images, training=False, detect=True)

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "confidence_threshold": self.confidence_threshold,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
            "channels": self.channels,
            "proposals": self.proposals,
            "box_samples": self.box_samples,
            "seed": self.seed,
            "inference_settings": self.inference_settings.to_dict(),
            "dtype": keras.dtype_policies.serialize(saved_dtype(self)),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects)
        return cls(**{**config, "backbone": backbone, "dtype": keras.dtype_policies.get(config["dtype"])})


def split_inputs(inputs: Any) -> tuple[Any, Any]:
    """Returns the images and their sizes, float32 `(B, 2)`, of the inputs of a `MaskRCNN`."""
    if not isinstance(inputs, dict):
        height, width = ops.shape(inputs)[1:3]
        size = ops.stack([ops.cast(height, "float32"), ops.cast(width, "float32")])
        return inputs, ops.broadcast_to(size, (ops.shape(inputs)[0], 2))
    if set(inputs) != {"images", "sizes"}:
        raise ValueError(
            "Mask R-CNN takes images (B, H, W, 3) or a dict of 'images' and 'sizes' (B, 2), the height and width of "
            f"each image without its padding; got a dict of {', '.join(map(repr, inputs))}."
        )
    return inputs["images"], ops.cast(inputs["sizes"], "float32")
