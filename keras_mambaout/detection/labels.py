"""Checks the labels that a user gives to a detector, before they disappear in a compiled step."""

import sys

import keras
import numpy as np

CLASS_KEYS = ("classes", "labels")  # KerasCV's name and KerasHub's


def class_key(labels):
    """Returns the key under which `labels` has the classes."""
    keys = [key for key in CLASS_KEYS if key in labels] if isinstance(labels, dict) else []
    if not keys or "boxes" not in labels:
        given = f"a dict with {sorted(labels)}" if isinstance(labels, dict) else type(labels).__name__
        raise ValueError(
            "A detector's labels must be a dict with 'boxes' (B, N, 4) and 'classes' (B, N), padded with -1 "
            f"where an image has fewer than N objects; got {given}."
        )
    return keys[0]


def check_labels(labels, num_classes, masks=False):
    """Checks a batch of labels and returns it.

    Args:
        labels: Dict of `"boxes"` `(B, N, 4)` and `"classes"` or `"labels"` `(B, N)`, arrays; rows of -1
            are padding.
        num_classes: Number of classes.
        masks: Whether there must be `"masks"` `(B, N, M, M)` too.

    Raises:
        ValueError: If a key is missing, shapes do not fit, a number is not finite, or a class is not
            an integer from 0 to `num_classes - 1` (or -1, padding).
    """
    key = class_key(labels)
    boxes, classes = np.asarray(labels["boxes"]), np.asarray(labels[key])
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or classes.shape != boxes.shape[:2]:
        raise ValueError(
            f"Labels must have 'boxes' (B, N, 4) and {key!r} (B, N), got shapes {boxes.shape} and {classes.shape}. "
            "Pad images with fewer objects with rows of -1."
        )
    if not (np.isfinite(boxes).all() and np.isfinite(classes).all()):
        raise ValueError("'boxes' and classes must be finite numbers, got NaN or infinity among them.")
    wrong = np.unique(classes[(classes < -1) | (classes >= num_classes) | (classes != np.round(classes))])
    if wrong.size:
        raise ValueError(
            f"Classes must be integers from 0 to {num_classes - 1} (-1 is padding) with num_classes={num_classes}, "
            f"got {', '.join(f'{value:g}' for value in wrong[:5])}. COCO's category ids have gaps and begin at 1: "
            "map them to 0, 1, 2, ... (CocoDataset does)."
        )
    if masks:
        check_masks(labels, classes.shape)
    return labels


def check_masks(labels, rows):
    """Checks that labels have masks `(B, N, M, M)` for boxes of `rows` `(B, N)`; only shapes are looked at."""
    shape = tuple(getattr(labels["masks"], "shape", ())) if "masks" in labels else None
    if shape is None or len(shape) != 4 or shape[1] != rows[1] or shape[2] != shape[3]:
        raise ValueError(
            f"Labels must have 'masks' (B, {rows[1]}, M, M), each in the frame of its box, got "
            f"{'none' if shape is None else f'shape {shape}'}. `CocoDataset.batches(masks=True, mask_size=112)` "
            "makes them, `keras_mambaout.data.crop_masks` cuts them out of masks of whole images."
        )


class LabelChecker(keras.callbacks.Callback):
    """Checks all labels that a call of `fit` or `evaluate` reads.

    Arrays are checked at once; `tf.data.Dataset`s, `keras.utils.PyDataset`s and generators batch by
    batch as they are read: a wrong one stops the training after its step at the latest, for which a
    detector ignores what is no object. So the error is the same on every backend and the model
    stays whole (an error from inside of a data set loses the weights on JAX). Other iterables, such
    as PyTorch's DataLoader, pass unchecked.

    Example:
    ```python
    checker = LabelChecker(num_classes=80)
    model.fit(*checker.watch(x, y), callbacks=[checker])  # a wrong class: ValueError
    ```
    """

    def __init__(self, num_classes, masks=False):
        super().__init__()
        self.num_classes, self.masks = num_classes, masks
        self.error = None

    def watch(self, x, y=None):
        """Returns `x` and `y` as `fit` takes them, checked or to be checked as they are read."""
        if y is not None:
            return x, check_labels(y, self.num_classes, self.masks)
        if isinstance(x, keras.utils.PyDataset):
            return _WatchedDataset(x, self._check_batch), None
        if hasattr(x, "__next__"):
            return map(self._check_batch, x), None
        tensorflow = sys.modules.get("tensorflow")  # whoever gives a tf.data.Dataset has imported it
        if tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
            return self._watch_tf_dataset(x, tensorflow), None
        return x, None

    def on_train_batch_end(self, batch, logs=None):
        if self.error is not None:
            raise self.error

    def on_test_batch_end(self, batch, logs=None):
        if self.error is not None and hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX, Keras' evaluate, other than fit, loses the weights with an error
        self.on_train_batch_end(batch)

    def _check_batch(self, batch):
        self._remember_error(keras.utils.unpack_x_y_sample_weight(batch)[1], self.masks)
        return batch

    def _remember_error(self, labels, masks=False):
        try:
            check_labels(labels, self.num_classes, masks)
        except ValueError as error:
            self.error = error

    def _watch_tf_dataset(self, dataset, tensorflow):
        _, spec, _ = keras.utils.unpack_x_y_sample_weight(dataset.element_spec)
        key = class_key(spec)
        if self.masks:
            check_masks(spec, spec[key].shape)

        def check(boxes, classes):
            self._remember_error({"boxes": boxes, key: classes})
            return boxes

        def check_batch(images, labels, *weights):
            boxes = tensorflow.numpy_function(check, (labels["boxes"], labels[key]), labels["boxes"].dtype)
            return images, {**labels, "boxes": tensorflow.ensure_shape(boxes, labels["boxes"].shape)}, *weights

        return dataset.map(check_batch)


class _WatchedDataset(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` whose batches are looked at as they are read."""

    def __init__(self, dataset, look):
        super().__init__(dataset.workers, max_queue_size=dataset.max_queue_size)
        self.dataset, self.look = dataset, look

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.look(self.dataset[index])

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()
