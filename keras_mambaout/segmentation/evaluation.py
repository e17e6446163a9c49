"""A segmenter's mean intersection over union on a data set, after training and during it."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.data.progress import progress_bar
from keras_mambaout.inference_settings import SegmentationSettings
from keras_mambaout.segmentation.dataset import SegmentationDataset
from keras_mambaout.segmentation.inference import check_views, segment
from keras_mambaout.segmentation.mean_iou import confusion_matrix, segmentation_metrics
from keras_mambaout.training.distribution import Devices


def evaluate_segmenter(
    model: keras.Model,
    dataset: SegmentationDataset,
    batch_size: int = 1,
    crop_size: int | str | None = None,
    stride: int | None = None,
    shortest_edge: int | None = None,
    longest_edge: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    devices: Devices | None = None,
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Returns the metrics of ADE20K of a model on a data set.

    Images are looked at as by `segment`, in the model's sizes where none are given, and compared with the label maps at
    their own size. Unreadable images are left out; `dataset.unreadable` names them.

    Args:
        model: A `UperNet`, or another model whose `predict_on_batch` returns logits `(B, H, W, classes)`.
        dataset: A `SegmentationDataset`.
        batch_size: Windows at a time, on all devices together.
        crop_size: As for `segment`.
        stride: As for `segment`.
        shortest_edge: As for `segment`.
        longest_edge: As for `segment`.
        scales: As for `segment`.
        flip: As for `segment`.
        devices: What `distribute` yields, for several devices or hosts: each process looks at its part of the images,
            and all of them return the same. The model must be made under it.
        verbose: 1 shows a progress bar, 0 none, `"auto"` shows one if stdout is a terminal.

    Returns:
        What `segmentation_metrics` returns, `{"mIoU", "mean_accuracy", "pixel_accuracy", "classes"}`.

    Raises:
        ValueError: If the model has another number of classes than the data set, a label map is wrong, or an argument
            is outside of what is listed above.

    Example:
    ```python
    metrics = evaluate_segmenter(model, SegmentationDataset.from_ade20k("ADEChallengeData2016", "validation"))
    print(format_segmentation_metrics(metrics))
    multi_scale = evaluate_segmenter(model, dataset, scales=MULTI_SCALE, flip=True)
    ```
    """
    _check_classes(model, dataset)
    devices = devices or Devices()
    views = {"crop_size": crop_size, "stride": stride, "shortest_edge": shortest_edge, "longest_edge": longest_edge}
    views |= {"scales": scales, "flip": flip, "batch_size": -(-batch_size // devices.processes)}
    update = progress_bar(len(dataset), verbose if devices.chief else 0, "image")

    def segment_part():
        confusion = np.zeros((dataset.num_classes,) * 2, "int64")
        with devices.predicting(model):
            for index, (image, labels) in dataset.examples((devices.process, devices.processes)):
                (classes,) = segment(model, [image], **views)
                confusion += confusion_matrix(labels, classes, dataset.num_classes)
                update(index + 1)
        return confusion

    return segmentation_metrics(sum(devices.collect(segment_part)), dataset.class_names)


class SegmentationMeanIoU(keras.callbacks.Callback):
    """Adds the metrics of ADE20K to the logs of `fit`, as `val_mIoU`, `val_mean_accuracy` and `val_pixel_accuracy`.

    Put it before callbacks that monitor them, such as `EarlyStopping(monitor="val_mIoU", mode="max")`.

    Args:
        dataset: A `SegmentationDataset`.
        batch_size: Windows at a time.
        crop_size: As for `evaluate_segmenter`.
        stride: As for `evaluate_segmenter`.
        shortest_edge: As for `evaluate_segmenter`.
        longest_edge: As for `evaluate_segmenter`.
        scales: As for `evaluate_segmenter`.
        flip: As for `evaluate_segmenter`.
        every: Number of epochs from one evaluation to the next; the epochs in between have no such logs.
        prefix: What the names in the logs begin with.
        devices: As for `evaluate_segmenter`; `train` passes on its own.
        verbose: As for `evaluate_segmenter`.

    Raises:
        ValueError: If an argument is outside of what is listed above, or the model has other classes.

    Example:
    ```python
    callback = SegmentationMeanIoU(val_dataset, every=10)
    model.fit(train_dataset.batches(16, training=True), epochs=127, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        batch_size: int = 1,
        crop_size: int | str | None = None,
        stride: int | None = None,
        shortest_edge: int | None = None,
        longest_edge: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        every: int = 1,
        prefix: str = "val_",
        devices: Devices | None = None,
        verbose: str | int = 0,
    ) -> None:
        super().__init__()
        check_views(SegmentationSettings().options(crop_size, stride, shortest_edge, longest_edge), scales)
        self.dataset, self.every, self.prefix = dataset, check_positive_integer("every", every), prefix
        self.devices = devices
        self.options = {
            "batch_size": check_positive_integer("batch_size", batch_size),
            "crop_size": crop_size,
            "stride": stride,
            "shortest_edge": shortest_edge,
            "longest_edge": longest_edge,
            "scales": scales,
            "flip": flip,
            "verbose": verbose,
        }

    def on_train_begin(self, logs: dict | None = None) -> None:
        _check_classes(self.model, self.dataset)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every == 0 and logs is not None:
            metrics = evaluate_segmenter(self.model, self.dataset, **self.options, devices=self.devices)
            logs.update({f"{self.prefix}{name}": value for name, value in metrics.items() if name != "classes"})


def _check_classes(model, dataset):
    classes = getattr(model, "num_classes", dataset.num_classes)
    if classes != dataset.num_classes:
        raise ValueError(
            f"The model has {classes} classes, the data set has {dataset.num_classes}. Make the model with "
            f"num_classes={dataset.num_classes}, or give the data set the classes that the model was trained with."
        )
