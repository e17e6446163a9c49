"""Many threads on one model."""

import concurrent.futures
import threading

import numpy as np
import pytest
import tiny_tasks

from keras_mambaout.classification import classify
from keras_mambaout.detection import detect
from keras_mambaout.segmentation import segment

THREADS = 64
ALL = ("predict", "predict_on_batch", "inference", "call")
FUNCTIONS = {"classifier": classify, "mask_rcnn": detect, "upernet": segment}


def at_once(function, inputs):
    """Returns the results of as many threads as there are inputs, which begin together."""
    barrier = threading.Barrier(len(inputs))

    def one(given):
        barrier.wait(60)
        return function(given)

    with concurrent.futures.ThreadPoolExecutor(len(inputs)) as threads:
        return list(threads.map(one, inputs))


def flat(result):
    """Returns the arrays of a result in a fixed order."""
    if isinstance(result, dict):
        return [array for name in sorted(result) for array in flat(result[name])]
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in flat(part)]
    return [np.asarray(result.detach() if hasattr(result, "detach") else result, "float32")]


@pytest.mark.parametrize(
    ("task", "names", "times"),
    [
        ("classifier", ("predict", "call"), 1),
        *(pytest.param(task, ALL, 5, marks=pytest.mark.exhaustive) for task in tiny_tasks.TASKS),
    ],
)
def test_threads_get_what_one_thread_gets(task, names, times):
    """The first calls too, for which Keras makes its functions."""
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (THREADS, tiny_tasks.SIZE, tiny_tasks.SIZE, 3), "uint8")
    images = photos.astype("float32")
    ways = {
        "predict": (lambda model, index: model.predict(images[index : index + 1], verbose=0)),
        "predict_on_batch": (lambda model, index: model.predict_on_batch(images[index : index + 1])),
        "inference": (lambda model, index: FUNCTIONS[task](model, [photos[index]], tiny_tasks.SIZE)),
        "call": (lambda model, index: model(images[index : index + 1], training=False)),
    }
    alone = tiny_tasks.create(task)
    for name in names:
        way, shared = ways[name], tiny_tasks.create(task)
        expected = [flat(way(alone, index)) for index in range(0, THREADS, 8)]
        for _ in range(times):
            found = at_once(lambda index, way=way, model=shared: flat(way(model, index)), range(THREADS))
            for values, others in zip(found[::8], expected, strict=True):
                for value, other in zip(values, others, strict=True):
                    np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-4, err_msg=name)
            assert all(np.isfinite(value).all() for values in found for value in values), name
