"""What share of the pixels of a detector's batches is padding, by how batches are made.

    python benchmarks/padding.py LABELS        a JSON file in COCO's format; no images are needed

Images keep their aspect ratio, with a short side of 800, or at several scales one of 480, 512, ..., 800 drawn for each,
and a long side of at most 1333. "As large as its largest image": images are shuffled, and each batch is padded to
multiples of 32. "Buckets": as `CocoDataset.batches` makes them, in training, where all images of a batch have one, and
without, where they are sorted by them. Shapes are the different heights and widths of all batches in 50 epochs.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np

from keras_mambaout.detection.annotations import read_coco_json
from keras_mambaout.detection.buckets import EpochPlan
from keras_mambaout.detection.recipe import MULTI_SCALE
from keras_mambaout.detection.resizing import ResizeRule

MULTIPLE, EPOCHS = 32, 50
RULES = {
    "short side 800": ResizeRule(shortest_edge=800),
    "short side 480 to 800": ResizeRule(shortest_edge=MULTI_SCALE),
}


def largest(sizes, rule, batch_size, epoch):
    """Yields the resized sizes of a batch and what it is padded to: all batches as large as their largest image."""
    random = np.random.default_rng(epoch)
    resized = np.array([rule.resized(*size, random.choice(rule.edges)) for size in random.permutation(sizes).tolist()])
    for start in range(0, len(sizes) - batch_size + 1, batch_size):
        batch = resized[start : start + batch_size]
        yield batch, tuple((batch.max(0) + -batch.max(0) % MULTIPLE).tolist())


def buckets(sizes, rule, batch_size, epoch):
    """The same with buckets, in training."""
    indices = np.arange(len(sizes))
    plan = EpochPlan(sizes, indices, len(sizes), rule, len(sizes) // batch_size, seed=0)
    edges, numbers, counts = plan(epoch)
    resized = np.array([rule.resized(*size, edge) for size, edge in zip(sizes.tolist(), edges.tolist(), strict=True)])
    for number, count in enumerate(counts.tolist()):
        members = np.random.default_rng(epoch).permutation(indices[numbers == number])
        for batch in np.resize(members, (count, batch_size)) if count else ():
            yield resized[batch], rule.buckets[number]


def sorted_buckets(sizes, rule, batch_size, epoch):
    """The same with buckets, without training: all images once, at one scale."""
    resized = np.array([rule.resized(*size) for size in sizes.tolist()])
    numbers = np.array([rule.bucket(size) for size in resized.tolist()])
    for order in rule.orders(numbers):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            yield resized[batch], rule.buckets[numbers[batch[-1]]]


def measure(batches, sizes, rule, batch_size):
    """Returns the share of padding, and the number of different shapes."""
    used, whole, shapes = 0, 0, set()
    for epoch in range(EPOCHS):
        for batch, shape in batches(sizes, rule, batch_size, epoch):
            used += int(batch.prod(1).sum())
            whole += len(batch) * shape[0] * shape[1]
            shapes.add(shape)
    return 1 - used / whole, len(shapes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", help="JSON file in COCO's format")
    images = read_coco_json(parser.parse_args().labels)["images"]
    sizes = np.array([(image["height"], image["width"]) for image in images])
    ways = {"as large as its largest image": largest, "buckets": buckets, "buckets, without training": sorted_buckets}
    print(f"{len(sizes)} images, {np.mean(sizes[:, 0] > sizes[:, 1]):.0%} upright\n")
    for name, rule in RULES.items():
        print(f"{name}, buckets {', '.join(f'{height} x {width}' for height, width in rule.buckets)}\n")
        print("| batches | batch of | padding | pixels against no padding | shapes |\n|---|---|---|---|---|")
        for way, batches in ways.items():
            for batch_size in (2, 16) if len(rule.edges) == 1 or batches is not sorted_buckets else ():
                share, shapes = measure(batches, sizes, rule, batch_size)
                print(f"| {way} | {batch_size} | {share:.1%} | {1 / (1 - share):.2f} | {shapes} |")
        print()


if __name__ == "__main__":
    main()
