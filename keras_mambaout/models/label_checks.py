"""Checks the labels that a user gives to `fit`, before they disappear in a compiled step."""

import sys
from collections.abc import Sequence
from typing import Any

import keras

from keras_mambaout.models.optimizer_first import OptimizerFirst


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
    as PyTorch's DataLoader, are not checked.

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

    def watch(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        """Returns `x` and `y` for `fit`, either checked or to be checked as they are read."""
        if y is not None:
            self.rule.check_shapes(x, y)
            self.rule.check(y)
            return x, y
        if isinstance(x, keras.utils.PyDataset):
            return _WatchedDataset(x, self._look), None
        if hasattr(x, "__next__"):
            return map(self._look, x), None
        tensorflow = sys.modules.get("tensorflow")  # who passes a tf.data.Dataset has imported it
        if tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
            return self._watch_tf_dataset(x, tensorflow), None
        return x, None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.error is not None:
            raise self.error

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


class LabelCheckMixin(OptimizerFirst):
    """Base class to put before a model class: labels are checked in every method that takes some.

    Subclasses have the property `label_rule`, a `LabelRule`.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | None = None,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, with labels that are checked; a `tf.data.Dataset` shuffles itself."""
        checker = LabelChecker(self.label_rule)
        if isinstance(validation_data, tuple | list):
            validation_data = (*checker.watch(*validation_data[:2]), *validation_data[2:])
        elif validation_data is not None:
            validation_data, _ = checker.watch(validation_data)
        x, y = checker.watch(x, y)
        if shuffle is None:
            shuffle = not hasattr(x, "element_spec")
        return super().fit(
            x=x,
            y=y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=_with(callbacks, checker),
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As `keras.Model.evaluate`, with labels that are checked."""
        if not isinstance(callbacks, keras.callbacks.CallbackList):  # that is a call from `fit`, which checks already
            checker = LabelChecker(self.label_rule)
            x, y = checker.watch(x, y)
            callbacks = _with(callbacks, checker)
        return super().evaluate(
            x=x,
            y=y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
            **kwargs,
        )

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.train_on_batch`, with labels that are checked."""
        return keras.Model.train_on_batch(self, x, self._checked(x, y), *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.test_on_batch`, with labels that are checked."""
        return keras.Model.test_on_batch(self, x, self._checked(x, y), *args, **kwargs)

    def _checked(self, images, labels):
        self.label_rule.check_shapes(images, labels)
        self.label_rule.check(labels)
        return labels


def _with(callbacks, checker):
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []
    return [*callbacks, checker]


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
