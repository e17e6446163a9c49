"""Seconds and memory of reading labels of COCO's size: `json.load`, and `CocoDataset.from_json`, which checks them.

    python benchmarks/annotations.py

Makes a file as large as `instances_train2017.json` in a temporary folder: 118,000 images and 860,000 objects, with
polygons of one or two parts and 23 points on average, and run lengths for one crowd in 86 objects, seed 0. There are
20,000 different shapes, and all images are one file. A fresh process for each measurement, in turn, medians of three;
memory is the peak of the process less that after its imports.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

IMAGES, OBJECTS, CATEGORIES = 118_000, 860_000, 80
WIDTH, HEIGHT = 640, 480
SHAPES = 20_000
CROWDS = 86  # one of so many objects
ROUNDS = 3

MEASURE = """
import json, os, resource, sys, time
from keras_mambaout.detection import CocoDataset
path, folder, how = sys.argv[1:]
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1]) * resource.getpagesize()
start, used = time.perf_counter(), time.process_time()
if how == "`json.load`":
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
else:
    dataset = CocoDataset.from_json(path, folder)
seconds, used = time.perf_counter() - start, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([seconds, used, (peak - before) / 1e9]))
"""


def write(folder, random):
    """Writes the labels, a line for each object, and the image; returns the path of the labels."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(os.path.join(folder, "image.jpg"))
    images = [{"id": i, "file_name": "image.jpg", "width": WIDTH, "height": HEIGHT} for i in range(IMAGES)]
    categories = [{"id": i + 1, "name": f"category {i + 1}"} for i in range(CATEGORIES)]
    shapes = [json.dumps(make_shape(number, random))[1:] for number in range(SHAPES)]
    owners, classes = random.integers(IMAGES, size=OBJECTS), random.integers(1, CATEGORIES + 1, OBJECTS)
    path = os.path.join(folder, "labels.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, "annotations": [\n')
        for i in range(OBJECTS):
            end = ",\n" if i < OBJECTS - 1 else "]}\n"
            shape = shapes[i % SHAPES]
            file.write(f'{{"id": {i}, "image_id": {owners[i]}, "category_id": {classes[i]}, {shape}{end}')
    return path


def make_shape(number, random):
    left, top = random.uniform(0, 400, 2)
    width, height = random.uniform(5, 200, 2)
    crowd = number % CROWDS == 0
    return {
        "bbox": np.round([left, top, width, height], 2).tolist(),
        "area": round(width * height / 2, 2),
        "iscrowd": int(crowd),
        "segmentation": make_runs(random) if crowd else make_polygons(random, left, top, width, height),
    }


def make_polygons(random, left, top, width, height):
    polygons = []
    for _ in range(random.choice([1, 1, 1, 1, 2])):
        angles = np.linspace(0, 2 * np.pi, random.integers(10, 30), endpoint=False)
        radius = random.uniform(0.3, 0.5, len(angles))
        x, y = left + width * (0.5 + radius * np.cos(angles)), top + height * (0.5 + radius * np.sin(angles))
        polygons.append(np.round(np.stack([x, y], -1), 2).ravel().tolist())
    return polygons


def make_runs(random):
    stops = np.sort(random.choice(WIDTH * HEIGHT, 200, replace=False))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *stops, WIDTH * HEIGHT]).tolist()}


def measure(path, folder, how):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", MEASURE, path, folder, how]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, np.random.default_rng(0))
        size = os.path.getsize(path) / 1e9
        results = {"`json.load`": [], "`CocoDataset.from_json`": []}
        for _ in range(ROUNDS):
            for how, runs in results.items():
                runs.append(measure(path, folder, how))
    print(f"{IMAGES:,} images, {OBJECTS:,} objects, {1000 * size:.0f} MB of JSON\n")
    print("| | seconds | processor time | peak memory | times the JSON |\n|---|---|---|---|---|")
    middle = {how: np.median(runs, axis=0) for how, runs in results.items()}
    middle["the checks and the index"] = middle["`CocoDataset.from_json`"] - middle["`json.load`"]
    for name, (seconds, used, memory) in middle.items():
        print(f"| {name} | {seconds:.1f} s | {used:.1f} s | {memory:.2f} GB | {memory / size:.1f} |")


if __name__ == "__main__":
    main()
