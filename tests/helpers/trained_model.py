"""A small model after a step with AdamW, so that its optimizer has a state, and a disk without room."""

import contextlib
import functools
import resource

import keras
import numpy as np
import small_model


def create(steps=1):
    """Returns the model after so many steps."""
    model = small_model.create(classes=3, drop_path_rate=0.1)
    model.compile(
        keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for _ in range(steps):
        model.train_on_batch(*data())
    return model


shared = functools.cache(create)  # one for all tests that leave it trained, since it takes seconds to compile


def data():
    return np.full((4, 32, 32, 3), 100.0, "float32"), np.array([0, 1, 2, 0])


def attached(callback, model, steps=None):
    """Returns a callback as `fit` would begin with it."""
    callback.set_model(model)
    callback.set_params({"steps": steps})
    return callback


@contextlib.contextmanager
def full_disk(size):
    """Files cannot grow beyond `size` bytes, which writers see as they see a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
