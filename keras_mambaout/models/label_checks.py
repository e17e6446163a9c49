"""Checks the labels that a user gives to `fit`, before they disappear in a compiled step."""

import sys
from typing import Any

import keras


class LabelRule:
    """What the labels of a model must be. Each task has a subclass; errors are `ValueError`s."""

    def check(self, labels: Any) -> None:
        """Checks the values of a batch of labels, given as arrays."""
        raise NotImplementedError

    def check_shapes(self, images: Any, labels: Any) -> None:
        """Checks structure and shapes, of arrays or of specs with unknown sizes."""

    def looked_at(self, labels: Any) -> Any:
        """Returns the part of the labels that `check` needs, a structure of arrays or tensors."""
        return labels


class LabelChecker(keras.callbacks.Callback):
    """Checks all labels that a call of `fit` or `evaluate` reads.

    Arrays are checked at once; `tf.data.Dataset`s, `keras.utils.PyDataset`s and generators batch by
    batch as they are read: a wrong batch ends the training after its step at the latest, in which the
    model ignores what is not a label. So the error is the same on every backend and the model
    keeps its weights (on JAX, an error raised inside a data set loses them). Other iterables, such
    as PyTorch's DataLoader, are not checked. (`Devices.feed` checks before it distributes batches to several
    processes of TensorFlow: what it returns has its own checker, `label_checker`, whose error is raised here too.)

    Args:
        rule: A `LabelRule`.

    Example:
    ```python
    checker = LabelChecker(ObjectLabels(num_classes=80))
    x, y = checker.watch(x, y)
    model.fit(x, y, callbacks=[checker])  # a wrong class: ValueError
    ```
    """

    def __init__(self, rule: LabelRule):
        super().__init__()
        self.rule = rule
        self.error: ValueError | None = None
        self.checkers = [self]  # and those of data sets that were watched before

    def watch(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        """Returns `x` and `y` for `fit`, either checked or to be checked as they are read."""
        if y is not None:
            self.rule.check_shapes(x, y)
            self.rule.check(y)
            return x, y
        if hasattr(x, "label_checker"):
            self.checkers.append(x.label_checker)
            return x, None
        if isinstance(x, keras.utils.PyDataset):
            return _WatchedDataset(x, self._look), None
        if hasattr(x, "__next__"):
            return map(self._look, x), None
        tensorflow = sys.modules.get("tensorflow")  # who passes a tf.data.Dataset has imported it
        if tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
            return self._watch_tf_dataset(x, tensorflow), None
        return x, None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for checker in self.checkers:
            if checker.error is not None:
                raise checker.error

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.error is not None and hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX, an error in Keras' evaluate loses the weights, unlike in fit
        self.on_train_batch_end(batch)

    def _look(self, batch):
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self._remember_error(self.rule.check_shapes, images, labels)
        self._remember_error(self.rule.check, labels)
        return batch

    def _remember_error(self, check, *values):
        try:
            check(*values)
        except ValueError as error:
            self.error = self.error or error

    def _watch_tf_dataset(self, dataset, tensorflow):
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(dataset.element_spec)
        self.rule.check_shapes(images, labels)

        def look_at(images, labels, *weights):
            parts = self.rule.looked_at(labels)

            def look(*values):
                self._remember_error(self.rule.check, keras.tree.pack_sequence_as(parts, values))
                return values[0]

            flat = keras.tree.flatten(parts)
            seen = tensorflow.numpy_function(look, flat, flat[0].dtype)
            seen = tensorflow.ensure_shape(seen, flat[0].shape)
            # the result of looking is passed on, so that TensorFlow does not leave it out
            replaced = [seen if part is flat[0] else part for part in keras.tree.flatten(labels)]
            return images, keras.tree.pack_sequence_as(labels, replaced), *weights

        return dataset.map(look_at)


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
