"""Labels in COCO's JSON format: read, checked, and found by image."""

import json
import os

import numpy as np

LISTS = ("images", "annotations", "categories")


def read_coco_json(path: str | os.PathLike) -> dict:
    """Returns the content of a JSON file in COCO's `instances` format."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"There is no annotation file {path!r} (working directory {os.getcwd()!r}).")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path!r} is not readable as JSON, it may be damaged: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in LISTS):
        given = f"the keys {sorted(content)}" if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path!r} must hold the lists {', '.join(map(repr, LISTS))}, as COCO's instances_*.json do; it holds "
            f"{given}. Files of captions, of test images or of one list of results are not labels of objects."
        )
    return content


class Annotations:
    """The objects of a data set, checked, and found by image without a search.

    An object is an annotation that is not a crowd and whose box, clipped to the image, has an area. Its
    class is the position of its category among the categories in the order of their ids.

    Args:
        ground_truth: Dict with the lists `"images"` (`id`, `width`, `height`), `"annotations"`
            (`image_id`, `category_id`, `bbox` as x, y, width, height in pixels, perhaps `iscrowd` and
            `segmentation`) and `"categories"` (`id`, `name`).

    Raises:
        ValueError: If an entry is incomplete, an id is unknown or appears twice, or a box is not four
            finite numbers.
    """

    def __init__(self, ground_truth: dict) -> None:
        self.ground_truth = ground_truth
        images, annotations = ground_truth["images"], ground_truth["annotations"]
        categories = _by_id("categories", ground_truth["categories"], ("name",))
        self.category_ids = sorted(categories)
        self.class_names = [categories[category]["name"] for category in self.category_ids]
        self.image_ids = list(_by_id("images", images, ("width", "height")))
        self._index = {image_id: index for index, image_id in enumerate(self.image_ids)}
        self._sizes = _image_sizes(images)

        class_of = {category: index for index, category in enumerate(self.category_ids)}
        owners = _positions(annotations, "image_id", self._index, "images")
        classes = _positions(annotations, "category_id", class_of, "categories")
        boxes = _clipped(_boxes(annotations), self._sizes[owners])
        crowds = np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool)
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


def _by_id(name, entries, keys):
    """Returns `{id: entry}` of the entries of a list, in its order."""
    if not entries:
        raise ValueError(f"The list {name!r} is empty: there is nothing to learn or to evaluate.")
    for entry in entries:
        missing = [key for key in ("id", *keys) if key not in entry]
        if missing:
            raise ValueError(f"Each of {name!r} must have {', '.join(map(repr, missing))}, got {entry!r}.")
    found = {entry["id"]: entry for entry in entries}
    if len(found) < len(entries):
        seen = set()
        twice = [entry["id"] for entry in entries if entry["id"] in seen or seen.add(entry["id"])]
        raise ValueError(f"Ids of {name!r} must be unique, {_first(twice)} appear more than once.")
    wrong = [number for number in found if type(number) is not int or not 0 <= number < 2**31]
    if wrong:
        raise ValueError(f"Ids of {name!r} must be integers from 0 to 2^31 - 1, got {_first(wrong)}.")
    return found


def _image_sizes(images):
    sizes = np.array([(image["height"], image["width"]) for image in images])
    if sizes.ndim != 2 or sizes.dtype.kind not in "iu" or np.min(sizes) < 1:
        wrong = [i for i in images if not all(type(i[key]) is int and i[key] > 0 for key in ("height", "width"))]
        raise ValueError(f"'width' and 'height' of images must be integers of 1 or more, got {_first(wrong)}.")
    return sizes


def _positions(annotations, key, positions, name):
    """Returns for each annotation the position of the image or category it names."""
    found = np.array([positions.get(annotation.get(key), -1) for annotation in annotations], "int64")
    if np.any(found < 0):
        wrong = np.flatnonzero(found < 0)
        examples = [f"{annotations[row].get('id')!r} has {annotations[row].get(key)!r}" for row in wrong[:5]]
        raise ValueError(
            f"{len(wrong)} of {len(annotations)} annotations have an unknown {key!r}, one that is not in {name!r}: "
            f"annotation {', '.join(examples)}. Add these {name}, or remove the annotations."
        )
    return found


def _boxes(annotations):
    """Returns the boxes of all annotations, `(N, 4)`, x, y, width, height."""
    boxes = [annotation.get("bbox") for annotation in annotations]
    try:
        array = np.array(boxes, "float64").reshape(-1, 4) if boxes else np.zeros((0, 4))
        if len(array) == len(boxes) and np.all(np.isfinite(array)):
            return array
    except (ValueError, TypeError):
        pass
    wrong = [annotation for annotation in annotations if not _is_box(annotation.get("bbox"))]
    raise ValueError(
        f"'bbox' must be four finite numbers, x, y, width and height in pixels; {len(wrong)} of {len(annotations)} "
        f"annotations are not: " + ", ".join(f"{item.get('id')!r} has {item.get('bbox')!r}" for item in wrong[:5])
    )


def _is_box(box):
    try:
        array = np.array(box, "float64")
    except (ValueError, TypeError):
        return False
    return array.shape == (4,) and bool(np.all(np.isfinite(array)))


def _clipped(boxes, sizes):
    """Returns xywh boxes as xyxy, clipped to images of these heights and widths."""
    limits = sizes[:, [1, 0]]
    return np.concatenate([np.clip(boxes[:, :2], 0, limits), np.clip(boxes[:, :2] + boxes[:, 2:], 0, limits)], -1)


def _first(items, count=5):
    return ", ".join(map(repr, items[:count])) + (f" ({len(items)} in all)" if len(items) > count else "")
