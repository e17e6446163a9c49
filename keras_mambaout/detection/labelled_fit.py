"""What every detector's `fit` does with labels, whichever library it is of."""

import keras

from keras_mambaout.detection.labels import LabelChecker, check_labels
from keras_mambaout.models.optimizer_first import OptimizerFirst


class LabelledFit(OptimizerFirst):
    """Goes before a detector class: labels are checked in every method that takes some.

    Its subclasses have `num_classes`, and `label_masks = True` if labels must have masks.
    """

    label_masks = False

    def fit(self, x=None, y=None, batch_size=None, epochs=1, callbacks=None, validation_data=None, **kwargs):
        checker = self._label_checker()
        if isinstance(validation_data, tuple | list):
            validation_data = checker.watch(*validation_data[:2])
        elif validation_data is not None:
            validation_data, _ = checker.watch(validation_data)
        x, y = checker.watch(x, y)
        if hasattr(x, "element_spec"):
            kwargs.setdefault("shuffle", False)  # a tf.data.Dataset shuffles itself, and Keras would warn of it
        return super().fit(
            x=x,
            y=y,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=_with(callbacks, checker),
            validation_data=validation_data,
            **kwargs,
        )

    def evaluate(self, x=None, y=None, batch_size=None, callbacks=None, **kwargs):
        if isinstance(callbacks, keras.callbacks.CallbackList):  # from `fit`, which checks already
            return super().evaluate(x=x, y=y, batch_size=batch_size, callbacks=callbacks, **kwargs)
        checker = self._label_checker()
        x, y = checker.watch(x, y)
        return super().evaluate(x=x, y=y, batch_size=batch_size, callbacks=_with(callbacks, checker), **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        return keras.Model.train_on_batch(self, x, self._checked(x, y), *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        return keras.Model.test_on_batch(self, x, self._checked(x, y), *args, **kwargs)

    def _label_checker(self):
        return LabelChecker(self.num_classes, self.label_masks)

    def _checked(self, images, labels):
        return check_labels(labels, self.num_classes, self.label_masks)


def _with(callbacks, checker):
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []
    return [*callbacks, checker]
