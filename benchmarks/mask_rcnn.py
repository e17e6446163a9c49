"""Speed and memory of Mask R-CNN on each backend and of torchvision's: one process per contender, timed in turn.

    python benchmarks/mask_rcnn.py --torchvision-python PATH/TO/PYTHON_WITH_TORCHVISION
    python benchmarks/mask_rcnn.py --size 256 320 --rounds 2   # a quick look

`mask_rcnn("mambaout_tiny")` and torchvision's `maskrcnn_resnet50_fpn`, both with 80 classes and random weights,
get the same image and objects. A train step is forward, backward and an update by AdamW (`train_on_batch`), with
512 sampled proposals, and prediction is `predict_on_batch` with 1000 proposals and 100 detections; torchvision's
confidence threshold is lowered until it has as many, since ours computes 100 masks in any case. Contenders are
warmed up and timed A B C A B C ..., so that a busy machine slows all alike. Peak memory is that of the whole process on
a CPU, framework included. Prints Markdown: medians, with the 10th and 90th percentile in brackets.

Over MambaOut-Tiny it takes 262 G multiply-accumulates at this size (`count_macs`), over ResNet-50 260 G by the tables
of papers.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np

from keras_mambaout.compare import BACKENDS
from keras_mambaout.compare.process import Worker, WorkerError, keras_worker_command

FOLDER = pathlib.Path(__file__).parent
REST = 0.1  # seconds between turns, in which the threads of the last contender fall asleep
TORCHVISION = "torchvision ResNet-50"
ROWS, MASK_SIZE, NUM_CLASSES = 100, 112, 80


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mambaout_tiny")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--objects", type=int, default=10, help="in each image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--torchvision-python", help="an interpreter that has torchvision")
    args = parser.parse_args()

    contenders = {
        f"Keras {backend}": ([sys.executable, str(FOLDER / "mask_rcnn_worker.py")], keras_worker_command(backend)[1])
        for backend in args.backends.split(",")
    }
    if args.torchvision_python is not None:
        contenders[TORCHVISION] = ([args.torchvision_python, str(FOLDER / "torchvision_worker.py")], {})
    print(table(race(contenders, args), args))


def race(contenders, args):
    """Times the contenders in turn; returns `{name: row}` of those that ran to the end."""
    rows, workers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        batch = str(pathlib.Path(folder) / "batch.npz")
        np.savez(batch, **make_batch(args.batch_size, *args.size, args.objects))
        try:
            for name, (command, environment) in contenders.items():
                print(f"{name} ...", file=sys.stderr, flush=True)
                rows[name], workers[name] = {}, Worker(name, command, environment)
                ask(workers, rows, name, "describe")
                ask(workers, rows, name, "build", model=args.model, batch=batch, num_classes=NUM_CLASSES)
                for method in ("predict", "train_step"):
                    ask(workers, rows, name, method, f"first {method}")
            for method in ("predict", "train_step"):
                for _ in range(args.rounds):
                    for name in list(workers):
                        time.sleep(REST)
                        ask(workers, rows, name, method)
            for name in list(workers):
                ask(workers, rows, name, "peak_memory")
        finally:
            for worker in workers.values():
                worker.close()
    return {name: row for name, row in rows.items() if name in workers}


def ask(workers, rows, name, method, key=None, **arguments):
    """Appends a worker's answer to `rows[name][key]`; a worker that fails is closed and left out."""
    if name not in workers:
        return
    try:
        rows[name].setdefault(key or method, []).append(workers[name].request(method, **arguments))
    except WorkerError as error:
        print(error, file=sys.stderr)
        workers.pop(name).close()


def make_batch(batch_size, height, width, objects):
    """Images of noise with `objects` ellipses each, from small to large."""
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(np.log(0.05), np.log(0.6), (batch_size, objects, 2))) * (width, height)
    corner = random.uniform(0, 1, sides.shape) * ((width, height) - sides)
    boxes = np.full((batch_size, ROWS, 4), -1.0, "float32")
    boxes[:, :objects] = np.round(np.concatenate([corner, corner + sides], axis=-1))
    classes = np.full((batch_size, ROWS), -1, "int32")
    classes[:, :objects] = random.integers(0, NUM_CLASSES, (batch_size, objects))
    y, x = np.mgrid[-1 : 1 : MASK_SIZE * 1j, -1 : 1 : MASK_SIZE * 1j]
    masks = np.zeros((batch_size, ROWS, MASK_SIZE, MASK_SIZE), "uint8")
    masks[:, :objects] = x**2 + y**2 < 1
    images = random.uniform(0, 255, (batch_size, height, width, 3)).astype("float32")
    return {"images": images, "boxes": boxes, "classes": classes, "masks": masks}


def table(rows, args):
    height, width = args.size
    lines = [
        f"### {args.model}, {height} x {width} pixels, batch {args.batch_size}, float32, {args.rounds} rounds",
        "",
        "| | train step | prediction | peak memory | first train step | first prediction |",
        "|---|---|---|---|---|---|",
    ]
    names = [f"Keras {backend}" for backend in args.backends.split(",")] + [TORCHVISION]
    for name in names:
        cells = cells_of(rows[name]) if name in rows else ["not run", "", "", "", ""]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    lines.append("")
    for name, row in rows.items():
        described = row["describe"][0]
        versions = ", ".join(f"{what} {number}" for what, number in described["versions"].items())
        lines.append(f"- {name}: {versions}; {described['device']}")
    return "\n".join([*lines, ""])


def cells_of(row):
    cells = []
    for method in ("train_step", "predict"):
        low, median, high = np.percentile(row[method], [10, 50, 90])
        cells.append(f"{median:.2f} s ({low:.2f}-{high:.2f})")
    return [
        *cells,
        f"{row['peak_memory'][0] / 1e9:.2f} GB",
        *(f"{row[f'first {m}'][0]:.1f} s" for m in ("train_step", "predict")),
    ]


if __name__ == "__main__":
    main()
