"""What the package's models do differently from `keras.Model` when they train."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_mambaout.inference_settings import InferenceSettings
from keras_mambaout.layers.composite import not_rematerialized
from keras_mambaout.models.label_checks import LabelChecker

_locks, _locks_guard = weakref.WeakKeyDictionary(), threading.Lock()


class PortableOptimizer:
    """Goes before `keras.Model`: what is compiled on one backend and saved is loaded, compiled, on every other.

    On PyTorch, `keras.optimizers.AdamW(...)` is of a subclass whose module needs PyTorch, and Keras saves the name of
    that module. Here the public name is saved; files that were saved before are read that way too.

    Example:
    ```python
    @keras.saving.register_keras_serializable("mine")
    class Model(PortableOptimizer, keras.Model): ...
    ```
    """

    def get_compile_config(self) -> dict[str, Any]:
        return _with_public_optimizers(super().get_compile_config())

    def compile_from_config(self, config: dict[str, Any]) -> None:
        if keras.backend.backend() == "torch":
            config = {**config, "jit_compile": "auto"}
        super().compile_from_config(_with_public_optimizers(config))


class ModelMixin(PortableOptimizer):
    """Goes before `keras.Model` in every model of this package.

    - The optimizer's variables are made before the first train step is traced. Keras would make them within the step,
      for which TensorFlow traces it twice: the first step of femto took 22 s instead of 11.
    - In a `keras.RematScope`, each layer is computed anew by itself, the model is not once more as a whole.
    - Any number of threads may call `predict` and `predict_on_batch`: they take turns. (In Keras, a thread on JAX takes
      the weights away while another one reads them, and on TensorFlow two may trace at once.) They may all call the
      model itself too, on JAX not while another thread is in `predict`.
    """

    @property
    def jit_compile(self) -> bool:
        """Whether train steps and predictions are compiled as a whole; on JAX they always are, on PyTorch never."""
        return super().jit_compile

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        if value and keras.backend.backend() == "torch":
            raise ValueError(
                "`jit_compile=True` is not for PyTorch: its compiler stops at every layer of Keras, takes minutes and "
                "makes the model slower. Leave `jit_compile` out, or use the backend jax or tensorflow."
            )
        keras.Model.jit_compile.fset(self, value)

    @property
    def one_at_a_time(self) -> threading.RLock:
        """The lock of a thread that predicts."""
        with _locks_guard:
            return _locks.setdefault(self, threading.RLock())

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """As `keras.Model.predict`, for any number of threads."""
        with self.one_at_a_time:
            return super().predict(x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)

    def predict_on_batch(self, x: Any) -> Any:
        """As `keras.Model.predict_on_batch`, for any number of threads."""
        with self.one_at_a_time:
            return super().predict_on_batch(x)

    def rematerialized_call(self, layer_call: Callable, *args: Any, **kwargs: Any) -> Callable:
        return not_rematerialized(layer_call)

    def make_train_function(self, force=False):
        if keras.backend.backend() == "tensorflow" and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)


class InferenceSettingsMixin:
    """Goes before a model class: the model carries along what its inference needs.

    Subclasses name the class of their settings in `settings_class`, have `num_classes`, and add
    `inference_settings.to_dict()` to their `get_config`.
    """

    settings_class: type[InferenceSettings]

    @property
    def inference_settings(self) -> Any:
        """Class names and image sizes that the model was trained for; `None` in what is unknown.

        To change some: `model.inference_settings = dataclasses.replace(model.inference_settings, class_names=names)`.
        """
        return self._inference_settings

    @inference_settings.setter
    def inference_settings(self, settings: InferenceSettings | Mapping | None) -> None:
        self._inference_settings = self.settings_class.of(settings, self.num_classes)


class LabelCheckMixin(ModelMixin):
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


def _with_public_optimizers(config):
    """Returns a saved configuration in which Keras' optimizers, wherever they stand, have their public module."""
    if isinstance(config, list | tuple):
        return type(config)(_with_public_optimizers(part) for part in config)
    if not isinstance(config, dict):
        return config
    config = {key: _with_public_optimizers(part) for key, part in config.items()}
    module, name = str(config.get("module")), config.get("class_name")
    if module.startswith("keras.") and "optimizers" in module and hasattr(keras.optimizers, str(name)):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def _with(callbacks, checker):
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []
    return [*callbacks, checker]
