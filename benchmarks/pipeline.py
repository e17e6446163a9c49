"""Images per second of the data pipeline, without a model: a GPU that is faster has to wait.

    python benchmarks/pipeline.py PHOTOS        a folder of class folders

Reads batches of 32 images of 224 pixels without augmentation, with that of the fine-tuning recipe and with that of
the paper's recipe, in turn, and prints the median of the rounds.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe

BATCH = 32


def measure(data, augmentation, seconds=10.0):
    """Returns images per second, and the processor time of one image in ms, over all threads."""
    batches = data.batches(
        BATCH, training=True, augmentation=augmentation, label_mode="categorical", epochs=(0, 1000)
    ).as_numpy_iterator()
    for _ in range(3):  # until the buffers are full
        next(batches)
    start, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - start), 1000 * (time.process_time() - used) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="folder of class folders")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    data = ClassificationDataset.from_folder(args.photos)
    recipes = {
        "resize and centre crop": None,
        "fine-tuning recipe": ClassificationRecipe.finetune("mambaout_tiny").augmentation,
        "paper's recipe": ClassificationRecipe.paper("mambaout_tiny").augmentation,
    }
    results = {name: [] for name in recipes}
    for _ in range(args.rounds):
        for name, augmentation in recipes.items():
            results[name].append(measure(data, augmentation))
    print(f"{len(data)} photos, {os.cpu_count()} CPU cores\n")
    print("| augmentation | images/s | processor time of an image |\n|---|---|---|")
    for name, values in results.items():
        rate, used = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {rate:.0f} | {used:.1f} ms |")


if __name__ == "__main__":
    main()
