"""Labels in COCO's JSON format: read, and found by image."""

import json
import os

import numpy as np

from keras_mambaout.detection.segmentation_checks import show

LISTS = ("images", "annotations", "categories")


def read_coco_json(path: str | os.PathLike) -> dict:
    """Returns the content of a JSON file in COCO's `instances` format."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"There is no annotation file {path!r} (working directory {os.getcwd()!r}).")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path!r} is not readable as JSON, it may be damaged: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in LISTS):
        given = f"the keys {show(sorted(content))}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path!r} must hold the lists {', '.join(map(repr, LISTS))}, as COCO's instances_*.json do; it holds "
            f"{given}. Files of captions, of test images or of one list of results are not labels of objects."
        )
    return content


class Annotations:
    """The objects of a data set, found by image without a search.

    An object is an annotation that is not a crowd and whose box, clipped to the image, has an area. Its
    class is the position of its category among the categories in the order of their ids.

    Args:
        ground_truth: What `checked_labels` returns: a dict with the lists `"images"` (`id`, `width`, `height`),
            `"annotations"` (`image_id`, `category_id`, `bbox` as x, y, width, height in pixels, perhaps `iscrowd` and
            `segmentation`) and `"categories"` (`id`, `name`).
    """

    def __init__(self, ground_truth: dict) -> None:
        self.ground_truth = ground_truth
        images, annotations = ground_truth["images"], ground_truth["annotations"]
        names = {category["id"]: category["name"] for category in ground_truth["categories"]}
        self.category_ids = sorted(names)
        self.class_names = [names[category] for category in self.category_ids]
        self.image_ids = [image["id"] for image in images]
        self._index = {image_id: index for index, image_id in enumerate(self.image_ids)}
        self._sizes = np.array([(image["height"], image["width"]) for image in images])

        class_of = {category: index for index, category in enumerate(self.category_ids)}
        owners = np.array([self._index[item["image_id"]] for item in annotations], "int64")
        classes = np.array([class_of[item["category_id"]] for item in annotations], "int64")
        boxes = np.array([item["bbox"] for item in annotations], "float64").reshape(-1, 4)
        boxes = _clipped(boxes, self._sizes[owners])
        crowds = np.array([bool(item.get("iscrowd", 0)) for item in annotations], bool)
        kept = np.flatnonzero(~crowds & (boxes[:, 2:] > boxes[:, :2]).all(-1))
        kept = kept[np.argsort(owners[kept], kind="stable")]
        self._rows, self._boxes, self._classes = kept, boxes[kept], classes[kept]
        self._starts = np.searchsorted(owners[kept], np.arange(len(images) + 1))

    def position(self, image_id: int) -> int:
        """Returns the position of an image in `image_ids`."""
        if image_id not in self._index:
            raise ValueError(f"The data set has no image with the id {image_id!r} among its {len(self._index)}.")
        return self._index[image_id]

    def size(self, image_id: int) -> tuple[int, int]:
        """Returns the height and width of an image."""
        height, width = self._sizes[self.position(image_id)]
        return int(height), int(width)

    def counts(self) -> np.ndarray:
        """Returns how many objects each image has, `(N,)`."""
        return np.diff(self._starts)

    def objects(self, image_id: int, limit: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns boxes `(n, 4)`, xyxy, classes `(n,)` and rows in `"annotations"` of the `limit` largest objects."""
        index = self.position(image_id)
        chosen = np.arange(self._starts[index], self._starts[index + 1])
        if limit is not None and len(chosen) > limit:
            areas = np.prod(self._boxes[chosen, 2:] - self._boxes[chosen, :2], -1)
            chosen = np.sort(chosen[np.argsort(-areas, kind="stable")[:limit]])
        return self._boxes[chosen], self._classes[chosen], self._rows[chosen]

    def segmentation(self, row: int) -> list | dict | None:
        """Returns the polygons or run lengths of an annotation, `None` if it has none."""
        return self.ground_truth["annotations"][row].get("segmentation") or None

    def without_segmentation(self) -> int:
        """Returns how many objects have no mask."""
        return sum(self.segmentation(row) is None for row in self._rows)

    def subset(self, image_ids: list[int]) -> "Annotations":
        """Returns the annotations of these images only, in this order."""
        images = [self.ground_truth["images"][self.position(image_id)] for image_id in image_ids]
        wanted = set(image_ids)
        annotations = [item for item in self.ground_truth["annotations"] if item["image_id"] in wanted]
        return Annotations({**self.ground_truth, "images": images, "annotations": annotations})


def _clipped(boxes, sizes):
    """Returns xywh boxes as xyxy, clipped to images of these heights and widths."""
    limits = sizes[:, [1, 0]]
    return np.concatenate([np.clip(boxes[:, :2], 0, limits), np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)], -1)
