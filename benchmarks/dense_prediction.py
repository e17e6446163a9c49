"""Speed and memory of Mask R-CNN and UperNet on each backend: one process per contender, timed in turn.

    python benchmarks/dense_prediction.py --torchvision-python PATH/TO/PYTHON_WITH_TORCHVISION
    python benchmarks/dense_prediction.py --backends torch --remat   # beside itself with `rematerialize=True`
    python benchmarks/dense_prediction.py --task upernet --transformers-python PATH/TO/PYTHON_WITH_TRANSFORMERS
    python benchmarks/dense_prediction.py --task upernet --remat
    python benchmarks/dense_prediction.py --size 256 320 --rounds 2   # a quick look

The models are of `mambaout_tiny`, torchvision's is `maskrcnn_resnet50_fpn`, and transformers'
`UperNetForSemanticSegmentation` over ConvNeXt-tiny; all have 80 classes (UperNet 150) and random weights, and get the
same image and labels. A train step is forward, backward and an update by AdamW (`train_on_batch`), with 512 sampled
proposals, and prediction is `predict_on_batch` with 1000 proposals and 100 detections: the confidence threshold is 0
(torchvision's is lowered until it has as many, since it compares all boxes above it). Contenders are warmed up and
timed A B C A B C ..., so that a busy machine slows all alike; all are in memory at once, so on a small machine name one
backend at a time. Peak memory is that of the whole process on a CPU, framework included, after the train steps
(predictions follow). Prints Markdown: medians, with the 10th and 90th percentile in brackets, and ratios of medians to
torchvision or transformers, with those percentiles of the ratios within a round.

Over MambaOut-Tiny, Mask R-CNN takes 262 G multiply-accumulates at 800 x 1280 (`count_macs`), over ResNet-50 260 G by
the tables of papers; UperNet 234 G at 512 x 512.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np
import speed

from keras_mambaout.compare import BACKENDS
from keras_mambaout.compare.process import Worker, WorkerError, keras_worker_command

FOLDER = pathlib.Path(__file__).parent
REST = 0.1  # seconds between turns, in which the threads of the last contender fall asleep
TORCHVISION, TRANSFORMERS = "torchvision ResNet-50", "transformers ConvNeXt-tiny"
ROWS, MASK_SIZE = 100, 112
TASKS = {"mask_rcnn": (80, (800, 1280)), "upernet": (150, (512, 512))}  # classes, and the paper's size
REMAT = " --remat"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="mask_rcnn")
    parser.add_argument("--model", default="mambaout_tiny")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="(default: the paper's)")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--objects", type=int, default=10, help="in each image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--remat", action="store_true", help="each backend with `rematerialize=True` too")
    parser.add_argument("--no-prediction", action="store_true", help="train steps only")
    parser.add_argument("--torchvision-python", help="an interpreter that has torchvision")
    parser.add_argument("--transformers-python", help="an interpreter that has transformers and PyTorch")
    args = parser.parse_args()
    args.size = args.size or TASKS[args.task][1]

    command = [sys.executable, str(FOLDER / "dense_prediction_worker.py")]
    contenders = {
        f"Keras {backend}{remat}": (command, keras_worker_command(backend)[1])
        for backend in args.backends.split(",")
        for remat in ("", *([REMAT] if args.remat else []))
    }
    if args.torchvision_python is not None and args.task == "mask_rcnn":
        contenders[TORCHVISION] = ([args.torchvision_python, str(FOLDER / "torchvision_worker.py")], {})
    if args.transformers_python is not None and args.task == "upernet":
        contenders[TRANSFORMERS] = ([args.transformers_python, str(FOLDER / "transformers_worker.py")], {})
    print(table(race(contenders, args), args))


def race(contenders, args):
    """Times the contenders in turn; returns `{name: row}` of those that ran to the end."""
    rows, workers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        batch = str(pathlib.Path(folder) / "batch.npz")
        classes = TASKS[args.task][0]
        make = make_scenes if args.task == "upernet" else make_batch
        np.savez(batch, **make(args.batch_size, *args.size, args.objects, classes))
        methods = ["train_step"] if args.no_prediction else ["train_step", "predict"]
        try:
            for name, (command, environment) in contenders.items():
                print(f"{name} ...", file=sys.stderr, flush=True)
                rows[name], workers[name] = {}, Worker(name, command, environment)
                ask(workers, rows, name, "describe")
                options = {"task": args.task, "remat": name.endswith(REMAT)}
                ask(workers, rows, name, "build", model=args.model, batch=batch, num_classes=classes, **options)
                for method in methods:
                    ask(workers, rows, name, method, f"first {method}")
            for method in methods:
                for _ in range(args.rounds):
                    for name in list(workers):
                        time.sleep(REST)
                        ask(workers, rows, name, method)
                if method == "train_step":
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


def make_scenes(batch_size, height, width, objects, num_classes):
    """Images of noise and label maps of tiles."""
    random = np.random.default_rng(0)
    tiles = random.integers(0, num_classes, (batch_size, -(-height // 32), -(-width // 32)))
    labels = np.kron(tiles, np.ones((1, 32, 32), int))[:, :height, :width].astype("int32")
    return {"images": random.uniform(0, 255, (batch_size, height, width, 3)).astype("float32"), "labels": labels}


def make_batch(batch_size, height, width, objects, num_classes):
    """Images of noise with `objects` ellipses each, from small to large."""
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(np.log(0.05), np.log(0.6), (batch_size, objects, 2))) * (width, height)
    corner = random.uniform(0, 1, sides.shape) * ((width, height) - sides)
    boxes = np.full((batch_size, ROWS, 4), -1.0, "float32")
    boxes[:, :objects] = np.round(np.concatenate([corner, corner + sides], axis=-1))
    classes = np.full((batch_size, ROWS), -1, "int32")
    classes[:, :objects] = random.integers(0, num_classes, (batch_size, objects))
    y, x = np.mgrid[-1 : 1 : MASK_SIZE * 1j, -1 : 1 : MASK_SIZE * 1j]
    masks = np.zeros((batch_size, ROWS, MASK_SIZE, MASK_SIZE), "uint8")
    masks[:, :objects] = x**2 + y**2 < 1
    images = random.uniform(0, 255, (batch_size, height, width, 3)).astype("float32")
    return {"images": images, "boxes": boxes, "classes": classes, "masks": masks}


def table(rows, args):
    height, width = args.size
    rows = {name: row for name, row in rows.items() if "peak_memory" in row}
    reference = next((rows[name] for name in (TORCHVISION, TRANSFORMERS) if name in rows), None)
    lines = [
        f"### {args.task} of {args.model}, {height} x {width} pixels, batch {args.batch_size}, float32, "
        f"{args.rounds} rounds",
        "",
        "| | train step | ratio | peak memory | ratio | first train step | prediction | ratio | first prediction |",
        "|---|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join([name, *cells_of(row, reference)]) + " |" for name, row in rows.items()),
        "",
    ]
    for name, row in rows.items():
        described = row["describe"][0]
        versions = ", ".join(f"{what} {number}" for what, number in described["versions"].items())
        lines.append(f"- {name}: {versions}; {described['device']}")
    return "\n".join([*lines, ""])


def cells_of(row, reference):
    return [
        times(row["train_step"]),
        ratio(row, reference, "train_step"),
        f"{row['peak_memory'][0] / 1e9:.2f} GB",
        ratio(row, reference, "peak_memory"),
        times(row["first train_step"]),
        times(row.get("predict", [])),
        ratio(row, reference, "predict"),
        times(row.get("first predict", [])),
    ]


def times(seconds):
    if len(seconds) < 2:
        return f"{seconds[0]:.1f} s" if seconds else "not run"
    low, median, high = np.percentile(seconds, [10, 50, 90])
    return f"{median:.2f} s ({low:.2f}-{high:.2f})"


def ratio(row, reference, method):
    return speed.ratio(row[method], reference[method]) if reference is not None and method in row else ""


if __name__ == "__main__":
    main()
