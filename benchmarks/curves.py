"""Draws the curves of training runs from their history.csv.

python benchmarks/curves.py training.png "CIFAR-10, 1000 photos=output/cifar/history.csv" "flowers=..."
"""

import argparse
import csv

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES = {  # those that a run has measured are drawn
    "loss": {"loss": "training, augmented", "val_loss": "held out"},
    "accuracy": {
        "accuracy": "training, augmented",
        "val_accuracy": "held out",
        "val_pixel_accuracy": "held out, pixels",
        "val_mIoU": "held out, mIoU",
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", help="PNG to write")
    parser.add_argument("runs", nargs="+", metavar="NAME=FILE", help="a title and the history.csv of a run")
    args = parser.parse_args()
    figure, axes = plt.subplots(
        len(args.runs), 2, figsize=(10, 3.5 * len(args.runs)), layout="constrained", squeeze=False
    )
    for row, run in zip(axes, args.runs, strict=True):
        title, path = run.rsplit("=", 1)
        with open(path, newline="", encoding="utf-8") as file:
            epochs = list(csv.DictReader(file))
        for axis, (name, curves) in zip(row, CURVES.items(), strict=True):
            for key, label in curves.items():
                if key in epochs[0]:
                    numbers = [int(epoch["epoch"]) + 1 for epoch in epochs]
                    axis.plot(numbers, [float(epoch[key]) for epoch in epochs], label=label)
            axis.set(xlabel="epoch", ylabel=name, title=title)
            axis.grid(alpha=0.3)
            axis.legend()
    figure.savefig(args.picture, dpi=100)


if __name__ == "__main__":
    main()
