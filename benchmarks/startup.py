"""Seconds until a model is ready: import, build, load from a safetensors file. Goals in brackets.

    python benchmarks/startup.py

A fresh process for each measurement, the backends in turn, medians of five. The first process of each
backend does not count, since it reads the framework from the disk.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

MEASURE = """
import json, sys, time
seconds = {}
start = time.perf_counter()
def lap(name):
    global start
    seconds[name] = time.perf_counter() - start
    start = time.perf_counter()
import keras
lap("import keras")
import keras_mambaout
lap("import keras_mambaout")
model = keras_mambaout.MambaOutTiny(weights=None)
lap("build")
if len(sys.argv) > 2:
    keras_mambaout.save_safetensors(model, sys.argv[1])
else:
    keras_mambaout.load_weights(model, sys.argv[1])
    lap("load")
print(json.dumps(seconds))
"""


def measure(backend, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", MEASURE, *arguments]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main():
    backends = ("tensorflow", "jax", "torch")
    results = {backend: [] for backend in backends}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tiny.safetensors"
        for backend in backends:
            measure(backend, path, "save")
        for _ in range(5):
            for backend in backends:
                results[backend].append(measure(backend, path))
    print("| MambaOutTiny | import keras | + import keras_mambaout (0.2) | build (1.5) | load safetensors (1) |")
    print("|---|---|---|---|---|")
    for backend, runs in results.items():
        cells = [f"{statistics.median(run[name] for run in runs):.2f} s" for name in runs[0]]
        print(f"| {backend} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
