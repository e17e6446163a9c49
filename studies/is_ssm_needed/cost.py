"""Time and memory of one gated CNN block on this machine, in a process of its own: python cost.py SETTINGS

SETTINGS is a dict as JSON: `mixer`, `sides` of the images, from the smallest, `channels`, `repeats`. Prints the
results as JSON. The environment says which backend.
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
    """Returns, for each side, median times of a forward pass and a train step in ms, MACs, and memory in MB.

    Memory is by how much the process' peak has grown since an image of 7 x 7 was computed: what a train step of a
    larger image adds, with what compiling it adds. Sides grow, so no earlier one hides a later one.
    """
    times(run["mixer"], SMALL, run["channels"], repeats=1)
    before = peak_memory()
    results = []
    for side in run["sides"]:
        result = times(run["mixer"], side, run["channels"], run["repeats"])
        results.append({"side": side, **result, "step_mb": round(peak_memory() - before, 1)})
    return {"by_side": results, "backend": keras.backend.backend()}


def times(mixer, side, channels, repeats):
    """Returns the times of a block at one size, and its MACs."""
    model = block(mixer, side, channels)
    image = np.random.default_rng(0).standard_normal((1, side, side, channels), "float32")
    return {
        "forward_ms": round(median_time(lambda: model.predict_on_batch(image), repeats), 2),
        "step_ms": round(median_time(lambda: model.train_on_batch(image, image), repeats), 2),
        "macs": count_macs(model, image.shape),
    }


def block(mixer, side, channels):
    """Returns a compiled model of one block, with the paper's expansion ratio whatever the mixer."""
    inputs = keras.Input((side, side, channels))
    model = keras.Model(inputs, GatedCNNBlock(**networks.MIXERS[mixer])(inputs))
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def median_time(call, repeats):
    """Returns the median processor time of a call in ms, of all threads, without the first two calls.

    Other work on the machine does not count into it, as it does into the time on the clock.
    """
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        call()
        times.append(1000 * (time.process_time() - start))
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
