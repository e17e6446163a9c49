"""A data set in COCO's format, small enough for numbers worked out by hand."""

import copy
import json

import numpy as np
from PIL import Image

GREY = (90, 120, 150)
IMAGES = [  # in no order of ids
    {"id": 7, "file_name": "seven.png", "width": 60, "height": 40},
    {"id": 3, "file_name": "three.jpg", "width": 30, "height": 50},  # a greyscale file
    {"id": 12, "file_name": "twelve.png", "width": 32, "height": 32},  # no objects
    {"id": 20, "file_name": "twenty.png", "width": 40, "height": 40},  # a crowd only
]
CATEGORIES = [{"id": 90, "name": "ninety"}, {"id": 2, "name": "two"}, {"id": 5, "name": "five"}]
CROWD = {"counts": [0, 800, 800], "size": [40, 40]}  # the left half


def rectangle(left, top, width, height):
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number, image_id, category_id, box, **others):
    item = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": box, "area": box[2] * box[3]}
    return {**item, "iscrowd": 0, "segmentation": rectangle(*box), **others}


ANNOTATIONS = [
    annotation(1, 7, 90, [6, 4, 30, 20]),
    annotation(2, 3, 5, [0, 10, 15, 20]),
    annotation(3, 7, 2, [50, 30, 20, 20]),  # half outside: x to 70 of 60, y to 50 of 40
    annotation(4, 7, 2, [60, 10, 5, 5]),  # outside
    annotation(5, 3, 2, [5, 5, 0, 10]),  # no area
    annotation(6, 20, 5, [0, 0, 20, 40], iscrowd=1, segmentation=CROWD),
    annotation(7, 3, 90, [10, 0, 20, 50], iscrowd=1, segmentation={"counts": [500, 1000], "size": [50, 30]}),
]


def content():
    return copy.deepcopy({"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES})


def write(folder, labels=None):
    """Writes the images and the JSON file, and returns the arguments of `CocoDataset.from_json`."""
    labels = content() if labels is None else labels
    (folder / "images").mkdir(exist_ok=True)
    for image in labels["images"]:
        if "file_name" not in image:
            continue
        picture = Image.fromarray(np.full((image["height"], image["width"], 3), GREY, "uint8"))
        path = folder / "images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        (picture.convert("L") if path.suffix == ".jpg" else picture).save(path)
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "labels.json", folder / "images"
