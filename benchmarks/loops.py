"""What Keras' loops add to a step: `predict` and `fit` beside `predict_on_batch` and `train_on_batch`.

    python benchmarks/loops.py
    python benchmarks/loops.py --backends torch --batch-size 1 --size 32   # where little else takes time

One process for each backend, one after the other; in each, the ways are timed in turn, so that a busy machine slows
all alike. Prints Markdown: milliseconds for a batch, medians of the rounds, in each of which a way sees `--batches`
batches. `fit` reads NumPy arrays without shuffling, the last one with `steps_per_execution=4`.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

BACKENDS = ("tensorflow", "jax", "torch")
WAYS = ("predict_on_batch", "predict", "train_on_batch", "fit", "fit, 4 steps at once")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mambaout_femto")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--alone", action="store_true", help="this process, with the backend of `KERAS_BACKEND`")
    args = parser.parse_args()
    if args.alone:
        cells = [f"{1000 * seconds:.0f} ms" for seconds in measure(args)]
        print(f"| {os.environ['KERAS_BACKEND']} |", " | ".join([*cells, ""][: len(WAYS)]), "|")
        return
    print("| | " + " | ".join(WAYS) + " |\n" + "|---" * (len(WAYS) + 1) + "|", flush=True)
    for backend in args.backends.split(","):
        root = str(pathlib.Path(__file__).parents[1])
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": root}
        command = [sys.executable, *sys.argv, "--alone"]
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(output, end="", flush=True)


def measure(args):
    """Returns the seconds of a batch for each way."""
    import keras
    import numpy as np

    import keras_mambaout
    from keras_mambaout.training import AdamW

    keras_mambaout.config.keep_memory()
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (args.batches * args.batch_size, args.size, args.size, 3)).astype("float32")
    labels = rng.integers(0, 1000, len(images))
    batches = [slice(start, start + args.batch_size) for start in range(0, len(images), args.batch_size)]

    def compiled(**options):
        keras.utils.set_random_seed(0)
        model = keras_mambaout.create_model(args.model, weights=None)
        model.compile(AdamW(1e-4), "sparse_categorical_crossentropy", **options)
        return model

    model = compiled()
    options = {"batch_size": args.batch_size, "verbose": 0}
    ways = [
        lambda: [model.predict_on_batch(images[batch]) for batch in batches],
        lambda: model.predict(images, **options),
        lambda: [model.train_on_batch(images[batch], labels[batch]) for batch in batches],
        lambda: model.fit(images, labels, shuffle=False, **options),
    ]
    if keras.backend.backend() != "torch":  # which Keras refuses it for
        of_four = compiled(steps_per_execution=4)
        ways.append(lambda: of_four.fit(images, labels, shuffle=False, **options))
    seconds = [[] for _ in ways]
    for turn in range(-1, args.rounds):
        for way, times in zip(ways, seconds, strict=True):
            start = time.perf_counter()
            way()
            if turn >= 0:
                times.append((time.perf_counter() - start) / len(batches))
    return map(statistics.median, seconds)


if __name__ == "__main__":
    main()
