"""Annotation files in COCO's format that are wrong somewhere: refused, left out with a warning, or used rightly."""

import copy
import json
import logging
import math
import os

import numpy as np
from PIL import Image
from pycocotools import mask as coder

from keras_mambaout.detection import CocoDataset, coco_metrics
from keras_mambaout.detection.batches import Targets
from keras_mambaout.detection.resizing import ResizeRule

COUNT = 1000
SIZES = [(480, 640), (333, 500), (60, 80)]  # heights and widths
HOSTILE = [
    *(math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-320, 0.5, 10**400, 2**31, 2**63, 2**64, 2**32 - 1, -1, 0),
    *("0", "", "\0", "\ud800", "x" * 5000, None, True, False, [], {}, [[]], [[[]]], [{}], {"a": []}, [None] * 6),
    *([1, 2, 3, 4], [[1, 1], [50, 50], [90, 1]], [[1, 1, 5, 5]], [[1, 1, 5, 5, 7]], [0] * 50_000, ["1"] * 8),
    *({"size": [2**31, 2**31], "counts": [2**31]}, {"size": [480, 640], "counts": "0"}, "../../../etc/passwd"),
]


def shapes(height, width, random):
    """Returns a polygon, a polygon of two parts, and run lengths as a list and compressed, in an image."""
    angles = np.sort(random.uniform(0, 2 * np.pi, 25))

    def polygon(x, y, radius):
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], -1)
        return np.round(points, 2).ravel().tolist()

    mask = np.zeros((height, width), "uint8", order="F")
    mask[height // 4 : height // 2, width // 3 : width // 2] = 1
    flat = mask.ravel("F")
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    text = coder.encode(mask)["counts"].decode()
    return [
        [polygon(width / 2, height / 2, height / 4)],
        [polygon(width / 4, height / 4, height / 8), polygon(width - 3, height - 3, height / 5)],  # partly outside
        {"size": [height, width], "counts": counts},
        {"size": [height, width], "counts": text},
    ]


def prepare(folder):
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        name = f"{number}.jpg"
        Image.new("RGB", (width, height), (50 * number, 90, 120)).save(os.path.join(folder, name))
        images.append({"id": 3 * number, "file_name": name, "width": width, "height": height})
        for row, shape in enumerate(shapes(height, width, random)):
            crowd = int(row >= 2 and number % 2 == 0)
            box = [width / 4, height / 4, width / 3 + row, height / 2]
            item = {"image_id": 3 * number, "category_id": 2 + 5 * (row % 2), "bbox": box, "area": width * height / 9}
            annotations.append({"id": len(annotations) + 1, **item, "iscrowd": crowd, "segmentation": shape})
    categories = [{"id": 2, "name": "two"}, {"id": 7, "name": "seven"}]
    content = {"info": {"year": 2026}, "images": images, "annotations": annotations, "categories": categories}
    made = {"folder": folder, "path": os.path.join(folder, "labels.json"), "content": content}
    made["results"] = [result(item, SIZES[item["image_id"] // 3]) for item in annotations]
    _write(made, json.dumps(content).encode())
    dataset = CocoDataset.from_json(made["path"], folder)
    made["masks"] = drawn(dataset)
    made["metrics"] = measured(dataset, made["results"])
    list(batches(dataset).as_numpy_iterator())
    logging.getLogger("keras_mambaout").setLevel(logging.ERROR)
    return made


def result(item, size):
    """Returns a detection like an annotation, three pixels to the left."""
    segmentation = item["segmentation"]
    if isinstance(segmentation, list):
        segmentation = coder.merge(coder.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coder.frPyObjects(segmentation, *size)
    mask = np.roll(coder.decode(segmentation), -3, 1)
    x, *box = item["bbox"]
    found = {key: item[key] for key in ("image_id", "category_id")}
    return {**found, "bbox": [x - 3, *box], "score": 0.9, "segmentation": coder.encode(np.asfortranarray(mask))}


def drawn(dataset):
    """Returns what each object of the readable images is: class, box and masks, by the id of its annotation."""
    found, masks = {}, dataset.has_masks
    rule = ResizeRule(64)
    for index, image_id in enumerate(dataset.image_ids):
        rows = dataset._annotations.objects(image_id)[2]
        try:
            _, objects = dataset.load(index, masks)
        except ValueError as error:
            assert repr(os.path.dirname(dataset._source.paths[index]))[:-1] in str(error), f"which image? {error}"
            continue
        targets = Targets(dataset._annotations, np.array(dataset.image_ids), rule, masks, 28, 100)
        values = dict(zip(targets.signature, targets(index, 0, 0), strict=True))
        for row, item in enumerate(dataset.ground_truth["annotations"][i] for i in rows):
            entry = [dataset.class_names[objects["classes"][row]], objects["boxes"][row].tolist()]
            entry += [objects["masks"][row].tobytes(), values["masks"][row].tobytes()] if masks else []
            found[json.dumps(item)] = entry
    return found


def measured(dataset, results):
    kinds = ("bbox", "segm") if all(item.get("segmentation") for item in dataset.ground_truth["annotations"]) else "b"
    return {kind: coco_metrics(dataset.ground_truth, results, kind) for kind in kinds if kind != "b"}


def batches(dataset):
    return dataset.batches(4, image_size=64, masks=dataset.has_masks, mask_size=28 if dataset.has_masks else None)


def make(made, random):
    content = copy.deepcopy(made["content"])
    wrong = list(CHANGES)[random.integers(len(CHANGES))]
    changed = CHANGES[wrong](content, random)
    text = changed if isinstance(changed, bytes) else json.dumps(content).encode()
    return wrong, {"text": text, "batch": random.random() < 0.1}


def pick(entries, random):
    return entries[random.integers(len(entries))]


def hostile(random):
    return copy.deepcopy(pick(HOSTILE, random))


def with_mask(content, random, kind, counts=object):
    """Returns the segmentation of an annotation with polygons, or with run lengths of a kind."""
    masks = [item["segmentation"] for item in content["annotations"]]
    return pick([m for m in masks if isinstance(m, kind) and (kind is list or isinstance(m["counts"], counts))], random)


def change_number(content, random):
    polygon = pick(with_mask(content, random, list), random)
    polygon[random.integers(len(polygon))] = hostile(random)


def change_polygon(content, random):
    polygons = with_mask(content, random, list)
    kind = random.integers(5)
    if kind == 0:
        polygons[0] = hostile(random)
    elif kind == 1:
        polygons[0] = np.reshape(polygons[0], (-1, 2)).tolist()  # pairs
    elif kind == 2:
        polygons[0] = polygons[0][: random.integers(0, 9)]
    elif kind == 3:
        polygons.append(hostile(random))
    else:
        polygons[:] = polygons[0]  # without its list


def change_size(content, random):
    runs = with_mask(content, random, dict)
    if random.random() < 0.5:
        runs["size"] = pick(
            [hostile(random), runs["size"][::-1], [*runs["size"], 3], [s + 1 for s in runs["size"]]], random
        )
    else:
        runs["size"][random.integers(2)] = hostile(random)


def change_counts(content, random):
    counts = with_mask(content, random, dict, list)["counts"]
    place = random.integers(len(counts))
    kind = random.integers(4)
    if kind == 0:
        counts[place] = hostile(random)
    elif kind == 1:
        counts[place] += int(random.integers(-500, 500))
    elif kind == 2:
        counts.insert(place, int(random.integers(0, 3)))
    else:
        del counts[place]


def change_text(content, random):
    runs = with_mask(content, random, dict, str)
    text = list(runs["counts"])
    for _ in range(random.integers(1, 4)):
        place, letter = random.integers(len(text)), chr(random.integers(0, 130))
        kind = random.integers(3)
        text[place : place + (kind != 1)] = letter if kind else []
        text = text or ["a"]
    runs["counts"] = pick([hostile(random), "".join(text), "".join(text), "".join(text)], random)


def change_box(content, random):
    item = pick(content["annotations"], random)
    if random.random() < 0.5:
        item["bbox"] = hostile(random)
    else:
        item["bbox"][random.integers(4)] = hostile(random)


def change_key(name, *keys):
    def change(content, random):
        pick(content[name], random)[pick(keys, random)] = hostile(random)

    return change


def change_entry(content, random):
    entries = content[pick(("images", "annotations", "categories"), random)]
    entries[random.integers(len(entries))] = hostile(random)


def change_list(content, random):
    name = pick(("images", "annotations", "categories", "info"), random)
    if random.random() < 0.3:
        del content[name]
    else:
        content[name] = hostile(random)


def remove_keys(content, random):
    for _ in range(random.integers(1, 4)):
        entry = pick(content[pick(("images", "annotations", "categories"), random)], random)
        if entry:
            del entry[pick(sorted(entry), random)]


def repeat_entries(content, random):
    entries = content[pick(("images", "annotations", "categories"), random)]
    if random.random() < 0.4:
        del entries[random.integers(len(entries)) :]
    else:
        entries.append({**pick(entries, random), **pick([{}, {"id": 3}, {"id": 2}, {"id": 99}], random)})


def change_anything(content, random):
    """Replaces a value at a random depth, or swaps two."""
    places = []

    def walk(value):
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            places.append((value, key))
            walk(value[key])

    walk(content)
    (parent, key), (other, other_key) = pick(places, random), pick(places, random)
    parent[key] = hostile(random) if random.random() < 0.7 else copy.deepcopy(other[other_key])


def change_several(content, random):
    for _ in range(random.integers(2, 12)):
        change_anything(content, random)


def long_outline(content, random):
    side = float(pick([1, 100, 1e5, 1e6], random))
    count = int(pick([100, 10_000, 100_000], random))
    x, y = np.arange(count) % 2 * side, np.linspace(0, 300, count)
    item = pick(content["annotations"], random)
    item["segmentation"] = [np.stack([x, y], -1).ravel().tolist()]
    if random.random() < 0.5:
        item["bbox"] = [10, 10, *pick([(1e-9, 1e-9), (1e-320, 5), (1e-3, 1e-3)], random)]


def cut_off(content, random):
    text = json.dumps(content).encode()
    return text[: random.integers(len(text))]


def spoil_bytes(content, random):
    text = bytearray(json.dumps(content).encode())
    for _ in range(random.integers(1, 20)):
        text[random.integers(len(text))] = random.integers(256)
    return bytes(text)


def nest(content, random):
    depth = int(pick([50, 900, 10_000, 200_000], random))
    nested = pick(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth], random)
    place = pick(['"year": 2026', '"iscrowd": 0', '"file_name": "0.jpg"', '"name": "two"', '"area": 34133'], random)
    key = place.split(":")[0]
    return (
        json.dumps(content)
        .replace(place, f"{key}: {nested}, {place}" if random.random() < 0.3 else f"{key}: {nested}", 1)
        .encode()
    )


CHANGES = {
    "polygon: a number": change_number,
    "polygon: its form": change_polygon,
    "polygon: a long outline": long_outline,
    "run lengths: size": change_size,
    "run lengths: list": change_counts,
    "run lengths: compressed": change_text,
    "box": change_box,
    "iscrowd, area": change_key("annotations", "iscrowd", "area"),
    "segmentation": change_key("annotations", "segmentation"),
    "ids of annotations": change_key("annotations", "id", "image_id", "category_id"),
    "images: size": change_key("images", "width", "height"),
    "images: id, file name": change_key("images", "id", "file_name"),
    "categories": change_key("categories", "id", "name"),
    "an entry of a list": change_entry,
    "a list of the file": change_list,
    "keys removed": remove_keys,
    "entries removed, repeated": repeat_entries,
    "any value": change_anything,
    "several values": change_several,
    "file cut off": cut_off,
    "bytes": spoil_bytes,
    "deep nesting": nest,
}


def attempt(made, given):
    _write(made, given["text"])
    refused = False
    for invalid in ("error", "skip"):
        try:
            dataset = CocoDataset.from_json(made["path"], made["folder"], invalid)
        except ValueError as error:
            if made["path"] not in str(error) and made["folder"] not in str(error):
                raise
            refused = True
            if invalid == "skip":
                return "refused"
            continue
        outcome = use(made, dataset, given["batch"])
        return outcome if outcome != "right" or not refused else "warned"


def use(made, dataset, batch):
    """Draws, batches and evaluates the data set; what did not change must be as it was, and nothing be missing."""
    known = {json.dumps(item) for item in made["content"]["annotations"]}
    sizes = {image["id"]: image for image in made["content"]["images"]}
    same = [image["id"] for image in dataset.ground_truth["images"] if sizes.get(image["id"]) == image]
    if not all(map(plain, dataset.ground_truth["annotations"])):
        return "silent"
    found, categories = drawn(dataset), made["content"]["categories"] == dataset.ground_truth["categories"]
    for text, entry in found.items():
        if text in known and json.loads(text)["image_id"] in same and categories:
            original = made["masks"][text]
            if entry != original[: len(entry)]:
                return "silent"
    if categories and not expected(made, same) <= {json.dumps(item) for item in dataset.ground_truth["annotations"]}:
        return "silent"
    metrics = measured(dataset, [item for item in made["results"] if item["image_id"] in same])
    whole = all(dataset.ground_truth[key] == made["content"][key] for key in ("images", "annotations", "categories"))
    if whole and json.dumps(metrics) != json.dumps(made["metrics"]):
        return "silent"
    if batch and same:
        list(batches(dataset).as_numpy_iterator())
    return "right"


def plain(item):
    """Whether the numbers of an annotation are numbers, polygons have points, and run lengths fit."""
    segmentation = item.get("segmentation") or []
    parts = [item["bbox"], *(segmentation if isinstance(segmentation, list) else [segmentation["size"]])]
    values = [value for part in parts for value in part] + [item["image_id"], item["category_id"]]
    if not all(type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**31 for value in values):
        return False
    if type(item.get("area", 0)) not in (int, float) or not 0 <= item.get("area", 0) < math.inf:
        return False
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        counts = segmentation["counts"]
        return isinstance(counts, str) or (sum(counts) == height * width and min(counts) >= 0)
    return len(item["bbox"]) == 4 and all(len(part) >= 6 and len(part) % 2 == 0 for part in segmentation)


def expected(made, same):
    """Returns the annotations of the file that are as they were, on images that are as they were."""
    with open(made["path"], encoding="utf-8") as file:
        content = json.load(file)
    known = {json.dumps(item) for item in made["content"]["annotations"]}
    given = (item for item in content["annotations"] if isinstance(item, dict) and item.get("image_id") in same)
    return {json.dumps(item) for item in given} & known


def _write(made, text):
    with open(made["path"], "wb") as file:
        file.write(text)
