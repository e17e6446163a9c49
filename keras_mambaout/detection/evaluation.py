"""A detector's average precision on a data set, after training and during it."""

import json
import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.data.progress import progress_bar
from keras_mambaout.detection.average_precision import IOU_TYPES, check_entries, measure
from keras_mambaout.detection.box_formats import box_format_of
from keras_mambaout.detection.coco_results import detections_to_results
from keras_mambaout.detection.dataset import CocoDataset
from keras_mambaout.detection.resizing import ResizeRule
from keras_mambaout.files import check_folder, write_text
from keras_mambaout.inference_settings import DetectionSettings, settings_of
from keras_mambaout.training.distribution import Devices


def evaluate_detector(
    model: keras.Model,
    dataset: CocoDataset,
    batch_size: int = 8,
    image_size: int | tuple[int, int] | None = None,
    shortest_edge: int | None = None,
    longest_edge: int | None = None,
    iou_type: str | Sequence[str] = "bbox",
    max_detections: int = 100,
    results: str | os.PathLike | None = None,
    devices: Devices | None = None,
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Returns COCO's average precision of a detector on a data set.

    Unreadable images are left out, with their objects; `dataset.unreadable` names them.

    Args:
        model: A model with the attribute `bounding_box_format` whose `predict_on_batch` takes images
            0-255 `(B, H, W, 3)` and returns decoded detections, as `detections_to_results` takes them.
            With an attribute `takes_sizes` that is true, it takes a dict of `"images"` and `"sizes"`,
            as `CocoDataset.batches(sizes=True)` has them.
        dataset: A `CocoDataset`.
        batch_size: Images in a batch, on all devices together.
        image_size: How images are resized: one of it and `shortest_edge`, as for `CocoDataset.batches`; by default as
            the model's `inference_settings` say, else to fit in 640 pixels.
        shortest_edge: See `image_size`.
        longest_edge: See `CocoDataset.batches`.
        iou_type: `"bbox"`, or for models that return `"masks"` also `"segm"`, or both, `("bbox", "segm")`.
        max_detections: How many detections of an image and class count.
        results: JSON file to write the detections to, in COCO's format of results, as its evaluation server takes it.
        devices: What `distribute` yields, for several devices or hosts: each process looks at its part of the images,
            and all of them return the same. The model must be made under it.
        verbose: 1 shows a progress bar, 0 none, `"auto"` shows one if stdout is a terminal.

    Returns:
        What `coco_metrics` returns, `{"AP", "AP50", ...}`; for several `iou_type`s a dict of it, by type.

    Raises:
        ValueError: If the model is no detector, an argument is outside of what is listed above, or the file of the
            results cannot be written.
        ImportError: If TensorFlow or pycocotools is not installed.

    Example:
    ```python
    metrics = evaluate_detector(model, dataset, image_size=640)
    print(format_coco_metrics(metrics))
    metrics = evaluate_detector(mask_rcnn, dataset, shortest_edge=800, iou_type=("bbox", "segm"), results="found.json")
    print(metrics["bbox"]["AP"], metrics["segm"]["AP"])
    ```
    """
    box_format_of(model)
    iou_types = _iou_types(iou_type)
    _check_labels(dataset, iou_types)
    check_positive_integer("max_detections", max_detections)
    if results is not None:
        check_folder(results)
    resizing = settings_of(model, DetectionSettings).options(image_size, shortest_edge, longest_edge)
    devices = devices or Devices()

    def detect_part():
        with devices.predicting(model):
            return _detect(model, dataset, batch_size, resizing, "segm" in iou_types, devices, verbose)

    parts = devices.collect(detect_part)
    found, read = ([one for part in lists for one in part] for lists in zip(*parts, strict=True))
    if len(read) < len(dataset):
        missing = set(dataset.image_ids) - set(read)
        dataset = dataset.subset([index for index, image_id in enumerate(dataset.image_ids) if image_id not in missing])
    if results is not None and devices.chief:
        write_text(json.dumps(found), results)
    metrics = {name: measure(dataset.ground_truth, found, name, max_detections) for name in iou_types}
    return metrics[iou_type] if isinstance(iou_type, str) else metrics


def _detect(model, dataset, batch_size, resizing, masks, devices, verbose):
    """Returns what a model finds in this process's part of the images, and their ids."""
    sizes, shard = getattr(model, "takes_sizes", False), (devices.process, devices.processes)
    batch_size = -(-batch_size // devices.processes) * devices.processes
    batches = dataset.batches(batch_size, **resizing, sizes=sizes, shard=shard)
    part = range(devices.process, len(dataset), devices.processes)
    update = progress_bar(len(part), verbose if devices.chief else 0, "image")
    found, read = [], []
    for images, labels in batches.as_numpy_iterator():
        image_ids = labels["image_id"].tolist()
        original_sizes = [dataset.image_size(image_id) for image_id in image_ids] if masks else None
        found += detections_to_results(
            _to_numpy(model.predict_on_batch(images)),
            image_ids,
            labels["scale"],
            dataset.category_ids,
            box_format_of(model),
            (images["images"] if sizes else images).shape[1:3],
            original_sizes,
        )
        read += image_ids
        update(len(read))
    return found, read


class CocoMeanAveragePrecision(keras.callbacks.Callback):
    """Adds COCO's average precision to the logs of `fit`, as `val_AP`, `val_AP50`, ...

    With several `iou_type`s the names are `val_bbox_AP`, ..., `val_segm_AP`, ... Put it before callbacks
    that monitor it, such as `EarlyStopping(monitor="val_AP", mode="max")`.

    Args:
        dataset: A `CocoDataset`.
        batch_size: Images in a batch.
        image_size: As for `evaluate_detector`.
        shortest_edge: As for `evaluate_detector`.
        longest_edge: As for `evaluate_detector`.
        iou_type: `"bbox"`, or for models that return `"masks"` also `"segm"`, or both, `("bbox", "segm")`.
        every: Number of epochs from one evaluation to the next; the epochs in between have no such logs.
        prefix: What the names in the logs begin with.
        devices: As for `evaluate_detector`; `train` passes on its own.
        verbose: As for `evaluate_detector`.

    Raises:
        ValueError: If an argument is outside of what is listed above, or the model is not a detector.

    Example:
    ```python
    precision = CocoMeanAveragePrecision(val_dataset, image_size=640)
    best = keras.callbacks.ModelCheckpoint("best.keras", monitor="val_AP", mode="max", save_best_only=True)
    model.fit(train_dataset.batches(8, image_size=640, training=True), epochs=12, callbacks=[precision, best])
    ```
    """

    def __init__(
        self,
        dataset: CocoDataset,
        batch_size: int = 8,
        image_size: int | tuple[int, int] | None = None,
        shortest_edge: int | None = None,
        longest_edge: int | None = None,
        iou_type: str | Sequence[str] = "bbox",
        every: int = 1,
        prefix: str = "val_",
        devices: Devices | None = None,
        verbose: str | int = 0,
    ) -> None:
        super().__init__()
        ResizeRule(**DetectionSettings().options(image_size, shortest_edge, longest_edge))
        _iou_types(iou_type)
        self.dataset, self.every, self.prefix = dataset, check_positive_integer("every", every), prefix
        self.devices = devices
        self.options = {
            "batch_size": check_positive_integer("batch_size", batch_size),
            "image_size": image_size,
            "shortest_edge": shortest_edge,
            "longest_edge": longest_edge,
            "iou_type": iou_type,
            "verbose": verbose,
        }

    def on_train_begin(self, logs: dict | None = None) -> None:
        box_format_of(self.model)
        _check_labels(self.dataset, _iou_types(self.options["iou_type"]))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every == 0 and logs is not None:
            metrics = evaluate_detector(self.model, self.dataset, **self.options, devices=self.devices)
            logs.update({f"{self.prefix}{name}": value for name, value in _flat(metrics).items()})


def _iou_types(iou_type):
    """Returns one `iou_type` or several as a tuple, checked."""
    names = (iou_type,) if isinstance(iou_type, str) else iou_type
    if not isinstance(names, (tuple, list)) or not names or any(name not in IOU_TYPES for name in names):
        allowed = ", ".join(map(repr, IOU_TYPES))
        raise ValueError(f"`iou_type` must be one of {allowed}, or a tuple of them, got {iou_type!r}.")
    return tuple(names)


def _check_labels(dataset, iou_types):
    """Checks before the work whether labels have what is compared after it."""
    for name in iou_types:
        check_entries("ground truth", dataset.ground_truth["annotations"], name)


def _flat(metrics):
    """Returns `{"AP": ...}` as it is, and `{"bbox": {"AP": ...}, ...}` as `{"bbox_AP": ..., ...}`."""
    if not isinstance(next(iter(metrics.values())), dict):
        return metrics
    return {f"{kind}_{name}": value for kind, values in metrics.items() for name, value in values.items()}


def _to_numpy(predictions):
    if not isinstance(predictions, dict):
        return predictions
    return {key: keras.ops.convert_to_numpy(value) for key, value in predictions.items()}
