"""What is left of a model, and said, when its `fit` ends before its time."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def whole_after(model: keras.Model) -> Iterator[None]:
    """A context for `fit` of a compiled model, after which it has its weights, whatever ended it.

    On JAX, Keras takes the weights from the model while it trains, and loses them if the first step of an epoch does
    not end; then it raises a TypeError about them, which hides why. Here the model and its optimizer get the values
    back that they had before, and the reason is raised.

    Raises:
        KeyboardInterrupt: After Ctrl-C, also if it reached TensorFlow first.
    """
    variables = _variables(model) if keras.backend.backend() == "jax" else []
    before = [variable.numpy() for variable in variables]
    try:
        yield
    except BaseException as error:
        reason = error
        if any(map(_is_lost, variables)):
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            reason = error.__context__ or error
        if not isinstance(reason, KeyboardInterrupt) and "KeyboardInterrupt" in str(reason):
            raise KeyboardInterrupt from None
        if reason is not error:
            raise reason from None
        raise


def _variables(model):
    """Returns the variables that a model has when it is trained, but for those of metrics."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]


def _is_lost(variable):
    try:
        variable.numpy()
    except (TypeError, RuntimeError):  # there is no value, or its memory was given to the step
        return True
    return False
