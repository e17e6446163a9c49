"""Images per second of the data pipelines of all tasks, without a model: a GPU that is faster has to wait.

    python benchmarks/pipeline.py --photos FOLDER --coco JSON IMAGES --scenes IMAGES LABELS

Reads the batches that the paper's recipes train on, and for classification also those of the fine-tuning recipe and
of evaluation, in turn: with one thread, with one thread for each core, and in two processes that share the cores, as
two hosts would. Prints the median of the rounds. The processor time of an image, summed over all threads, tells more
than images/s on a machine that others use too; where it stays the same and two threads read twice as much, no thread
waits for another.

`--package FOLDER`, given several times, compares versions of the package (checkouts), in turn.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SECONDS = 8.0
CORES = os.cpu_count()
SETTINGS = {"1 thread": (1, 1), f"{CORES} threads": (1, CORES), "2 processes": (2, max(1, CORES // 2))}


def pipelines(args):
    """Returns `{name: (function that makes batches, images in one)}`."""
    found = {}
    if args.photos:
        from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe

        photos = ClassificationDataset.from_folder(args.photos)
        paper, finetune = ClassificationRecipe.paper("mambaout_tiny"), ClassificationRecipe.finetune("mambaout_tiny")
        found["classification, evaluation"] = lambda: photos.batches(32, training=True, epochs=(0, 1000)), 32
        found["classification, fine-tuning"] = lambda: finetune.batches(photos, 32, epochs=(0, 1000)), 32
        found["classification, paper"] = lambda: paper.batches(photos, 32, epochs=(0, 1000)), 32
    if args.coco:
        from keras_mambaout.detection import CocoDataset, InstanceSegmentationRecipe

        coco, instances = CocoDataset.from_json(*args.coco), InstanceSegmentationRecipe.paper("mambaout_tiny")
        found["instance segmentation"] = lambda: instances.batches(coco, 2, epochs=(0, 1000)), 2
    if args.scenes:
        from keras_mambaout.segmentation import SegmentationDataset, SemanticSegmentationRecipe

        names = [str(number) for number in range(255)]  # whatever the numbers of the classes are
        scenes = SegmentationDataset.from_folder(*args.scenes, names, ignore_ids=(255,))
        semantic = SemanticSegmentationRecipe.paper("mambaout_tiny")
        found["semantic segmentation"] = lambda: semantic.batches(scenes, 4, epochs=(0, 1000)), 4
    return found


def measure(make, count, threads):
    """Returns images per second, and the processor time of one image in ms, over all threads."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    batches = make().with_options(options).as_numpy_iterator()
    for _ in range(3):  # until the buffers are full
        next(batches)
    start, used, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < SECONDS:
        next(batches)
        images += count
    return images / (time.perf_counter() - start), 1000 * (time.process_time() - used) / images


def work(args):
    """Measures what is asked for on standard input, line by line, and answers on standard output."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    found = pipelines(args)
    print(json.dumps(list(found)), flush=True)
    for line in sys.stdin:
        name, threads = json.loads(line)
        print(json.dumps(measure(*found[name], threads)), flush=True)


class Worker:
    """A process that measures, with one version of the package."""

    def __init__(self, package):
        environment = {**os.environ, "PYTHONPATH": str(package), "KERAS_BACKEND": "tensorflow"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", *sys.argv[1:]],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names = json.loads(self.process.stdout.readline())

    def begin(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def result(self):
        return json.loads(self.process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="folder of class folders")
    parser.add_argument("--coco", nargs=2, metavar=("JSON", "IMAGES"))
    parser.add_argument("--scenes", nargs=2, metavar=("IMAGES", "LABELS"))
    parser.add_argument("--package", action="append", help="folder with another version of keras_mambaout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args)
        return
    packages = args.package or [pathlib.Path(__file__).parents[1]]
    workers = {package: [Worker(package) for _ in range(2)] for package in packages}
    names, results = workers[packages[0]][0].names, {}
    for _, name, setting, package in itertools.product(range(args.rounds), names, SETTINGS, packages):
        processes, threads = SETTINGS[setting]
        used = workers[package][:processes]
        for worker in used:
            worker.begin(name, threads)
        rates, times = zip(*(worker.result() for worker in used), strict=True)
        results.setdefault((name, package, setting), []).append((sum(rates), statistics.mean(times)))
    print(f"{CORES} CPU cores; images/s, and processor time of an image\n")
    print(f"| pipeline | {'package | ' if args.package else ''}{' | '.join(SETTINGS)} |")
    print("|---" * (len(SETTINGS) + 1 + bool(args.package)) + "|")
    for name, package in itertools.product(names, packages):
        cells = []
        for setting in SETTINGS:
            rate, used = (statistics.median(column) for column in zip(*results[name, package, setting], strict=True))
            cells.append(f"{rate:.1f}, {used:.1f} ms")
        print(f"| {name} | {f'{package} | ' if args.package else ''}{' | '.join(cells)} |")


if __name__ == "__main__":
    main()
