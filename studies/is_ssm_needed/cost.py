"""Time and memory of one gated CNN block on this machine, in a process of its own: python cost.py SETTINGS

SETTINGS is a dict as JSON: `mixer`, `side` of the image, `channels`, `repeats`. Prints the results as JSON. The
environment says which backend.
"""

import json
import resource
import statistics
import sys
import time

import keras
import networks
import numpy as np

from keras_mambaout.layers import GatedCNNBlock
from keras_mambaout.models.macs import count_macs

SMALL = 7  # side of the image that is computed first, so that what a backend loads and keeps does not count


def measure(run):
    """Returns the medians of a forward pass and of a train step in ms, the MACs, and the memory they add in MB."""
    sizes = {"small": SMALL, "large": run["side"]}
    models = {name: block(run["mixer"], side, run["channels"]) for name, side in sizes.items()}
    images = {
        name: np.random.default_rng(0).standard_normal((1, side, side, run["channels"]), "float32")
        for name, side in sizes.items()
    }
    for call in (models["small"].predict_on_batch, lambda x: models["small"].train_on_batch(x, x)):
        call(images["small"])
    before = peak_memory()
    model, image = models["large"], images["large"]
    forward = median_time(lambda: model.predict_on_batch(image), run["repeats"])
    forward_memory = peak_memory() - before
    step = median_time(lambda: model.train_on_batch(image, image), run["repeats"])
    return {
        "forward_ms": round(forward, 2),
        "step_ms": round(step, 2),
        "forward_mb": round(forward_memory, 1),
        "step_mb": round(peak_memory() - before, 1),
        "macs": count_macs(model, image.shape),
        "backend": keras.backend.backend(),
    }


def block(mixer, side, channels):
    """Returns a compiled model of one block, with the paper's expansion ratio whatever the mixer."""
    inputs = keras.Input((side, side, channels))
    model = keras.Model(inputs, GatedCNNBlock(**networks.MIXERS[mixer])(inputs))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def median_time(call, repeats):
    """Returns the median time of a call in ms, without the first two."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def peak_memory():
    """Returns the most that was resident of this process, in MB; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:  # getrusage would count the parent's at the start
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts bytes


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
