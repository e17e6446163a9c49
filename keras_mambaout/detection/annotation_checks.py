"""Whether labels and results in COCO's format are what they must be."""

import collections
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_mambaout.detection.segmentation_checks import (
    boxes_problem,
    find_problems,
    is_integer,
    numbers_problem,
    polygons_problem,
    runs_problem,
    show,
)

logger = logging.getLogger(__name__)
POLICIES = ("error", "skip")  # what becomes of wrong entries
LARGEST_IMAGE = 2**28  # pixels, more than Pillow reads
IDS = "an integer from 0 to 2^31 - 1"
NAMED = 5  # wrong entries in a message


def checked_labels(content: dict, source: str, invalid: str = "error", files: bool = False) -> dict:
    """Returns labels in COCO's format of which every entry is right.

    Args:
        content: Dict of the lists `"images"`, `"annotations"` and `"categories"`.
        source: What the labels are called in messages: the path of their file.
        invalid: `"error"` raises a `ValueError` if an image or an annotation is wrong. `"skip"` leaves out wrong
            annotations, and wrong images together with their annotations, and says so in one warning.
        files: Whether images must have a `file_name`.

    Raises:
        ValueError: If a category is wrong, no image is left, or with `invalid="error"` anything else is wrong.
    """
    images, annotations = content["images"], content["annotations"]
    categories = check_categories(content["categories"], source)
    if not images:
        raise ValueError(f"{source}: the list 'images' is empty: there is nothing to learn or to evaluate.")
    wrong_images = image_problems(images, files)
    sizes = image_sizes(image for row, image in enumerate(images) if row not in wrong_images)
    without = _ids_of(images, wrong_images)  # what belongs to these images is left out with them
    rows = [row for row, item in enumerate(annotations) if not (without and _image_id(item) in without)]
    found = annotation_problems([annotations[row] for row in rows], sizes, categories)
    wrong = {rows[index]: text for index, text in found.items()}
    if not wrong_images and not wrong:
        return content
    said = _describe(source, {"images": (images, wrong_images), "annotations": (annotations, wrong)})
    if invalid == "error":
        raise ValueError(f'{said}. Correct them, or leave them out with `invalid="skip"`.')
    if not sizes:
        raise ValueError(f"{said}. No image is left.")
    also = len(annotations) - len(rows)
    logger.warning("%s; they are left out%s.", said, f", with {also} annotations of these images" if also else "")
    return {
        **content,
        "images": [image for row, image in enumerate(images) if row not in wrong_images],
        "annotations": [annotations[row] for row in rows if row not in wrong],
    }


def check_categories(categories: Sequence, source: str) -> dict[int, dict]:
    """Returns `{id: category}`; raises a `ValueError` if a category is wrong."""
    if not categories:
        raise ValueError(f"{source}: the list 'categories' is empty: there is nothing to learn or to evaluate.")
    found, problems = {}, {}
    for row, category in enumerate(categories):
        number, name = (category.get(key) for key in ("id", "name")) if _is_dict(category) else (None, None)
        if not _is_dict(category):
            problems[row] = f"it must be a dict, got {show(category)}"
        elif not _is_id(number) or number in found:
            problems[row] = f"'id' must be {IDS} that no other has, got {show(number)}"
        elif not isinstance(name, str) or not name:  # two may have one name, as a class and its group in some exports
            problems[row] = f"'name' must be a text, got {show(name)}"
        else:
            found[number] = category
    raise_problems(source, "categories", categories, problems)
    return found


def image_problems(images: Sequence, files: bool = False) -> dict[int, str]:
    """Returns what is wrong with each image that is wrong, by its position."""
    times = collections.Counter(image["id"] for image in images if isinstance(image, dict) and _is_id(image.get("id")))
    problems = ((row, _image_problem(image, times, files)) for row, image in enumerate(images))
    return {row: text for row, text in problems if text is not None}


def image_sizes(images: Iterable[Mapping[str, Any]]) -> dict[int, tuple[int, int]]:
    """Returns height and width of images by their ids."""
    return {image["id"]: (image["height"], image["width"]) for image in images}


def annotation_problems(
    annotations: Sequence,
    sizes: Mapping[int, tuple[int, int]],
    categories: Mapping[int, Any] | None,
    needs: tuple[str, ...] = ("bbox",),
) -> dict[int, str]:
    """Returns what is wrong with each annotation or result that is wrong, by its position.

    Args:
        annotations: The entries.
        sizes: Height and width of each image by its id.
        categories: The categories that there are by their ids; `None` allows all.
        needs: Keys that must be there, other than the ids of image and category.
    """
    problems = {
        row: f"it must be a dict, got {show(item)}" for row, item in enumerate(annotations) if not _is_dict(item)
    }
    items = [item if _is_dict(item) else {} for item in annotations]

    def note(row, text):
        problems.setdefault(row, text)  # the first is said

    for row, item in enumerate(items):
        if not is_integer(item.get("image_id")) or item["image_id"] not in sizes:
            note(row, f"'image_id' must be the id of one of the images, got {show(item.get('image_id'))}")
        if not is_integer(item.get("category_id")) or (
            categories is not None and item["category_id"] not in categories
        ):
            note(row, f"'category_id' must be the id of one of the categories, got {show(item.get('category_id'))}")
        if not isinstance(item.get("id", 0), (int, str)) or isinstance(item.get("id"), bool):
            note(row, f"'id' must be an integer or a text, got {show(item['id'])}")
        if type(item.get("iscrowd", 0)) not in (int, bool) or item.get("iscrowd", 0) not in (0, 1):
            note(row, f"'iscrowd' must be 0 or 1, got {show(item['iscrowd'])}")
    checks = {"bbox": boxes_problem, "area": numbers_problem("area", 0)}
    if "score" in needs:
        checks["score"] = numbers_problem("score")
    for key, problem in checks.items():
        rows = [row for row, item in enumerate(items) if key in item or key in needs]
        for index, text in find_problems([items[row].get(key) for row in rows], problem).items():
            note(rows[index], text)
    for row, text in _segmentation_problems(items, sizes).items():
        note(row, text)
    return dict(sorted(problems.items()))


def _segmentation_problems(items, sizes):
    problems, rows = {}, []
    for row, item in enumerate(items):
        segmentation = item.get("segmentation")
        if isinstance(segmentation, list):
            if segmentation:  # an empty list is no mask
                rows.append(row)
        elif isinstance(segmentation, dict):
            if is_integer(item.get("image_id")) and item["image_id"] in sizes:
                problems[row] = runs_problem(segmentation, sizes[item["image_id"]])
        elif segmentation is not None:
            problems[row] = f"'segmentation' must be a list of polygons or run lengths, got {show(segmentation)}"
    found = find_problems([items[row]["segmentation"] for row in rows], polygons_problem)
    problems.update((rows[index], text) for index, text in found.items())
    return {row: text for row, text in problems.items() if text is not None}


def raise_problems(source: str, name: str, entries: Sequence, problems: Mapping[int, str]) -> None:
    """Raises a `ValueError` that names the first of the problems, if there are any."""
    if problems:
        raise ValueError(f"{_describe(source, {name: (entries, problems)})}.")


def _image_problem(image, times, files):
    if not _is_dict(image):
        return f"it must be a dict, got {show(image)}"
    number, width, height = (image.get(key) for key in ("id", "width", "height"))
    if not _is_id(number):
        return f"'id' must be {IDS}, got {show(number)}"
    if times[number] > 1:
        return "its 'id' appears more than once"
    if not all(is_integer(side) and side >= 1 for side in (width, height)):
        return f"'width' and 'height' must be integers of 1 or more, got {show(width)} and {show(height)}"
    if width * height > LARGEST_IMAGE:
        return f"it may have {LARGEST_IMAGE:,} pixels, got {show(width)} x {show(height)}"
    return _name_problem(image.get("file_name")) if files else None


def _name_problem(name):
    if not isinstance(name, str) or not name:
        return f"'file_name' must be a text, got {show(name)}"
    try:
        readable = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        readable = False
    if not readable:
        return f"'file_name' must be the name of a file, got {name!a:.60}"
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] in (os.pardir, os.curdir):
        return (
            f"'file_name' must lie in the folder of the images, got {name!r}; give a folder further up, and names "
            "relative to it"
        )
    return None


def _ids_of(images, rows):
    """Returns the ids of the images in these rows, as far as they are ids."""
    return {images[row]["id"] for row in rows if _is_dict(images[row]) and _is_id(images[row].get("id"))}


def _image_id(item):
    number = item.get("image_id") if _is_dict(item) else None
    return number if is_integer(number) else None


def _is_dict(value):
    return isinstance(value, dict)


def _is_id(value):
    return is_integer(value) and 0 <= value < 2**31


def _describe(source, lists):
    """Returns how many entries of lists are wrong, and what is wrong with the first."""
    counted = [f"{len(wrong)} of {len(entries)} {name}" for name, (entries, wrong) in lists.items() if wrong]
    named = [
        f"{_entry_name(name, entries[row], row)}: {text}"
        for name, (entries, wrong) in lists.items()
        for row, text in list(wrong.items())[:NAMED]
    ]
    more = "; and more" if any(len(wrong) > NAMED for _, wrong in lists.values()) else ""
    return f"{source}: {' and '.join(counted)} are wrong: {'; '.join(named)}{more}"


def _entry_name(name, entry, row):
    """Returns what an entry is called: its id, or its place in the list."""
    singular = {"images": "image", "annotations": "annotation", "categories": "category", "results": "result"}[name]
    number = entry.get("id") if _is_dict(entry) else None
    return f"{singular} {show(number)}" if is_integer(number) or isinstance(number, str) else f"{name}[{row}]"
