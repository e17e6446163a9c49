"""Trains and evaluates a Mask R-CNN and a UperNet on several devices, to be compared with one device.

    KERAS_BACKEND=jax python tests/helpers/dense_worker.py DEVICES FOLDER TASK...

`TASK` is `detector` or `segmenter`; the other arguments are those of `distribution_worker.py`.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import distribution_worker
import keras
import numpy as np
import tensorflow as tf
import tiny_coco
from PIL import Image

import keras_mambaout
from keras_mambaout.detection import CocoDataset, evaluate_detector, mask_rcnn
from keras_mambaout.segmentation import SegmentationDataset, evaluate_segmenter, upernet
from keras_mambaout.training.distribution import distribute

BATCH, STEPS, SIZE, CLASSES = 4, 4, 64, 3
CONFIG = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
COUNT, UNREADABLE = 7, 2  # images for evaluation: the last batch is short
NAMES = ["one", "two", "three"]


def main(count, folder, *tasks):
    distribution_worker.make_devices(count)
    with distribute("auto") as devices:
        result = {task: TASKS[task](devices, folder) for task in tasks}
    (folder / f"{devices.process}.json").write_text(json.dumps(result))


def create_detector():
    keras.utils.set_random_seed(0)
    options = {"channels": 8, "proposals": 20, "box_samples": 16, "max_detections": 5, "confidence_threshold": 0.0}
    model = mask_rcnn(CONFIG, CLASSES, weights=None, drop_path_rate=0.0, **options)
    return with_larger_kernels(model, model.rpn_head.objectness, model.box_head.logits)


def create_segmenter():
    keras.utils.set_random_seed(0)
    options = {"channels": 8, "auxiliary_channels": 8, "drop_path_rate": 0.0, "dropout_rate": 0.0}
    model = upernet(CONFIG, CLASSES, weights=None, **options)
    return with_larger_kernels(model, model.head.classifier, model.auxiliary_head.classifier)


def with_larger_kernels(model, *layers):
    """Makes scores differ by more than by rounding."""
    for layer in layers:
        layer.kernel.assign(30 * layer.kernel.numpy())
    return model


def detector(devices, folder):
    model = create_detector()
    result = fit(model, devices, objects)
    dataset = CocoDataset.from_json(*write_objects(folder / f"objects-{devices.process}"))
    options = {"batch_size": BATCH, "image_size": SIZE, "iou_type": ("bbox", "segm"), "devices": devices}
    return {**result, "measured": evaluate_detector(model, dataset, **options)}


def segmenter(devices, folder):
    model = create_segmenter()
    result = fit(model, devices, pixels)
    dataset = SegmentationDataset.from_folder(*write_pixels(folder / f"pixels-{devices.process}"), NAMES)
    options = {"batch_size": BATCH, "crop_size": SIZE, "shortest_edge": SIZE, "devices": devices}
    metrics = evaluate_segmenter(model, dataset, **options)
    del metrics["classes"]
    return {**result, "measured": metrics}


def fit(model, devices, arrays):
    """Trains with batches of `arrays(rng)`, `(images, labels)`, which are also those for validation."""
    # Updates of SGD are as large as the gradients; at 1e-2, each step of the segmenter makes rounding 20 times larger.
    model.compile(keras.optimizers.SGD(1e-3))
    devices.prepare(model)

    def batches(shard):
        index, count = shard
        rng = np.random.default_rng(0)
        steps = [arrays(rng) for _ in range(STEPS)]
        rows = slice(index * BATCH // count, (index + 1) * BATCH // count)
        steps = [keras.tree.map_structure(lambda array: array[rows], step) for step in steps]
        whole = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *steps)
        return tf.data.Dataset.from_tensor_slices(whole).batch(BATCH // count, drop_remainder=True)

    steps = Steps()
    options = {"steps_per_epoch": STEPS, "verbose": 0, "shuffle": False, "validation_data": devices.feed(batches)}
    history = model.fit(devices.feed(lambda shard: batches(shard).repeat()), callbacks=[steps], **options).history
    return {
        "steps": steps.values,
        "history": {name: values[0] for name, values in history.items()},
        "weights": distribution_worker.sums(model),
    }


class Steps(keras.callbacks.Callback):
    """Keeps all logs of all steps."""

    def on_train_begin(self, logs=None):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append({name: float(value) for name, value in logs.items()})


def objects(rng):
    """Returns a batch in whose first half there are no objects, so that a device has none."""
    images = rng.uniform(0, 255, (BATCH, SIZE, SIZE, 3)).astype("float32")
    corners = rng.uniform(0, SIZE - 33, (BATCH, 5, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 32, (BATCH, 5, 2))], axis=-1)
    classes = rng.integers(0, CLASSES, (BATCH, 5)).astype("float32")
    for row, number in enumerate((0, 0, 1, 5)):
        boxes[row, number:], classes[row, number:] = -1, -1
    labels = {"boxes": boxes.astype("float32"), "classes": classes, "image_id": rng.integers(0, 1000, BATCH)}
    labels["masks"] = rng.integers(0, 2, (BATCH, 5, 28, 28)).astype("uint8")
    return {"images": images, "sizes": np.array([(64, 64), (64, 50), (40, 64), (64, 64)], "int32")}, labels


def pixels(rng):
    """Returns a batch in whose first half nearly all pixels are ignored."""
    images = rng.uniform(0, 255, (BATCH, SIZE, SIZE, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, (BATCH, SIZE, SIZE)).astype("int32")
    labels[: BATCH // 2, 3:] = 255
    return images, labels


def write_objects(folder):
    """Writes photos with objects, one of them unreadable, and returns what `CocoDataset.from_json` takes."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for number in range(COUNT):
        height = 64 - 2 * number
        write_photo(folder, number, rng.integers(0, 256, (height, 64, 3)))
        images.append({"id": 10 * number + 3, "file_name": f"{number}.png", "width": 64, "height": height})
        for category in (2, 5, 90):
            left, top, width, height = rng.integers(0, 12, 4).tolist()
            box = [left, top, width + 30, height + 30]
            annotations.append(tiny_coco.annotation(len(annotations) + 1, images[-1]["id"], category, box))
    labels = {"images": images, "annotations": annotations, "categories": tiny_coco.CATEGORIES}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "labels.json", folder


def write_pixels(folder):
    """Writes photos with label maps, one of them unreadable, and returns the two folders."""
    folder.mkdir()
    rng = np.random.default_rng(2)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for number in range(COUNT):
        size = (64, 70 + 10 * number)  # in several windows
        write_photo(folder / "images", number, rng.integers(0, 256, (*size, 3)))
        Image.fromarray(rng.integers(0, CLASSES, size).astype("uint8")).save(folder / "labels" / f"{number}.png")
    return folder / "images", folder / "labels"


def write_photo(folder, number, pixels):
    path = folder / f"{number}.png"
    Image.fromarray(pixels.astype("uint8")).save(path)
    if number == UNREADABLE:
        path.write_bytes(path.read_bytes()[:100])


TASKS = {"detector": detector, "segmenter": segmenter}

if __name__ == "__main__":
    count, folder, *tasks = sys.argv[1:]
    main(int(count), pathlib.Path(folder), *tasks)
