"""`keras-mambaout list`: the models and their published weights."""

import argparse

from keras_mambaout.config import VARIANTS
from keras_mambaout.models.registry import list_models
from keras_mambaout.weights.pretrained import PUBLISHED

HELP = "list models and their published weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names, such as '*rw*'")


def run(args: argparse.Namespace) -> None:
    """Prints one line for each file of published weights, and for each model without any."""
    models = list_models(args.pattern)
    if not models:
        raise ValueError(f"No model matches {args.pattern!r}. There are: {', '.join(VARIANTS)}.")
    row = "{:<23} {:>10}  {:<27} {:>5} {:>7} {:>7}"
    print(row.format("model", "parameters", "weights", "size", "top-1 %", "top-5 %"))
    for model in models:
        entries = [entry for entry in PUBLISHED.values() if entry.variant == model]
        for entry in entries:
            top1, top5 = (f"{value:.2f}" if value else "" for value in (entry.top1, entry.top5))
            parameters = _millions(VARIANTS[model].count_parameters(entry.classes))
            print(row.format(model, parameters, entry.tag, entry.image_size, top1, top5))
        if not entries:
            print(row.format(model, _millions(VARIANTS[model].count_parameters()), "", "", "", "").rstrip())


def _millions(number):
    return f"{number / 1e6:.1f} M"
