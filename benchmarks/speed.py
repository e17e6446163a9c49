"""Speed and memory compared with timm and keras.applications: one process per contender, timed in turn.

    python benchmarks/speed.py --timm-python PATH/TO/PYTHON_WITH_TIMM
    python benchmarks/speed.py --models mambaout_tiny --batch-sizes 64,256 --precision mixed_bfloat16   # on a GPU

For each model and batch size, the contenders are warmed up and then timed A B C A B C ..., so that a
busy machine slows all alike. Ratios are those of medians to timm eager (lower is better), with the
10th and 90th percentile of the ratios within a round in brackets. Keras runs `predict_on_batch` and
`train_on_batch` with AdamW, timm the same steps. Our processes keep their memory (`config.keep_memory`); timm is
measured as it comes, and with memory like ours. Peak memory is that of the whole process on a CPU, framework included.
Without `--timm-python` the ratios are to our own PyTorch.

MambaOutTiny and ConvNeXtTiny have 4.5 G multiply-accumulates each. Prints Markdown; `--output` writes it
and a bar chart.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

from keras_mambaout.compare import BACKENDS
from keras_mambaout.compare.process import KEEP_MEMORY, Worker, WorkerError, keras_worker_command

FOLDER = pathlib.Path(__file__).parent
REST = 0.1  # seconds between turns, in which the threads of the last contender fall asleep


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mambaout_femto,mambaout_tiny")
    parser.add_argument("--batch-sizes", default="8,1")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--timm-python", help="an interpreter that has timm")
    parser.add_argument("--no-peer", action="store_true", help="leave ConvNeXtTiny out")
    parser.add_argument("--output", help="path without suffix for the .md and the .png")
    args = parser.parse_args()

    races = []
    for model in args.models.split(","):
        for batch_size in map(int, args.batch_sizes.split(",")):
            fields = [(model, timm_contenders(args.timm_python) | ours(model))]
            if model == "mambaout_tiny" and not args.no_peer:  # separately, since eight processes need too much memory
                fields.append(("ConvNeXtTiny", ours(model) | ours("ConvNeXtTiny", "ConvNeXt ")))
            for title, contenders in fields:
                races.append(race(title, batch_size, args, contenders))
                print(table(races[-1]), flush=True)
    if args.output:
        pathlib.Path(args.output).with_suffix(".md").write_text("\n".join(table(one) for one in races))
        draw(races, pathlib.Path(args.output).with_suffix(".png"))


def ours(model, prefix="Keras "):
    commands = {backend: keras_worker_command(backend) for backend in BACKENDS}
    return {
        f"{prefix}{backend}": ([*command, KEEP_MEMORY], environment, model)
        for backend, (command, environment) in commands.items()
    }


def timm_contenders(python):
    if python is None:
        return {}
    command = [python, str(FOLDER / "timm_worker.py")]
    kinds = {"timm eager": {}, "timm eager, memory kept": {"KIND": "memory"}, "timm compile": {"KIND": "compile"}}
    return {name: (command, environment, None) for name, environment in kinds.items()}


def race(title, batch_size, args, contenders):
    """Times the contenders in turn; returns their rows and the name of the reference."""
    print(f"{title}, batch {batch_size} ...", file=sys.stderr, flush=True)
    rows, workers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        batch = pathlib.Path(folder) / "batch.npz"
        images = np.random.default_rng(0).uniform(0, 255, (batch_size, args.size, args.size, 3)).astype("float32")
        np.savez(batch, images=images, labels=np.arange(batch_size, dtype="int32"))
        try:
            for name, (command, environment, model) in contenders.items():
                workers[name] = Worker(name, command, environment)
                try:
                    rows[name] = workers[name].request("describe")
                    arguments = {"model": model or title, "batch": str(batch), "precision": args.precision}
                    rows[name]["build"] = workers[name].request("build", **arguments)
                    for method in ("forward", "train_step"):
                        rows[name][f"first {method}"] = workers[name].request(method)
                except WorkerError as error:
                    print(error, file=sys.stderr)
                    workers.pop(name).close()
                    rows.pop(name, None)
            for method in ("forward", "train_step"):
                for turn in range(-2, args.rounds):
                    for name, worker in workers.items():
                        time.sleep(REST)
                        seconds = worker.request(method)
                        if turn >= 0:
                            rows[name].setdefault(method, []).append(seconds)
            for name, worker in workers.items():
                rows[name]["memory"] = worker.request("peak_memory")
        finally:
            for worker in workers.values():
                worker.close()
    reference = "timm eager" if "timm eager" in rows else "Keras torch"
    return {"title": title, "batch_size": batch_size, "reference": reference, "rows": rows, "args": args}


def table(race):
    rows, reference = race["rows"], race["rows"][race["reference"]]
    args = race["args"]
    lines = [
        f"### {race['title']}, batch {race['batch_size']}, {args.size} pixels, {args.precision}, {args.rounds} rounds",
        "",
        f"{reference['device']}. Ratios to {race['reference']}.",
        "",
        "| | forward | ratio | train step | ratio | peak memory | ratio | first forward | first train step |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [name]
        for method in ("forward", "train_step"):
            cells += [f"{1e3 * statistics.median(row[method]):.0f} ms", ratio(row[method], reference[method])]
        cells += [f"{row['memory'] / 1e9:.2f} GB", f"{row['memory'] / reference['memory']:.2f}"]
        cells += [f"{row['first forward']:.1f} s", f"{row['first train_step']:.1f} s"]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [
        f"- {name}: {', '.join(f'{what} {n}' for what, n in row['versions'].items())}" for name, row in rows.items()
    ]
    return "\n".join([*lines, ""])


def ratio(times, reference):
    """Returns the ratio of the medians; of several rounds, also the 10th and 90th percentile of their ratios."""
    low, high = np.percentile(np.divide(times, reference), [10, 90])
    spread = f" ({low:.2f}-{high:.2f})" if len(times) > 1 else ""
    return f"{statistics.median(times) / statistics.median(reference):.2f}{spread}"


def draw(races, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(races), 7), layout="constrained")
    axes = np.atleast_2d(figure.subplots(2, len(races))).reshape(2, len(races))
    for column, one in enumerate(races):
        names = list(one["rows"])
        for axis, method in zip(axes[:, column], ("forward", "train_step"), strict=True):
            times = [1e3 * np.array(one["rows"][name][method]) for name in names]
            low, medians, high = np.percentile(times, [25, 50, 75], axis=1)
            colors = ["#999999" if name.startswith(("timm", "ConvNeXt")) else "#1f77b4" for name in names]
            axis.barh(names, medians, color=colors, xerr=[medians - low, high - medians], capsize=2)
            axis.invert_yaxis()
            axis.set_title(f"{one['title']}, batch {one['batch_size']}: {method.replace('_', ' ')}", fontsize=10)
            axis.set_xlabel("ms (median, quartiles)")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
