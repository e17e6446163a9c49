"""The rule of what labels in COCO's format must be, and what becomes of those that are not."""

import copy
import json
import logging

import hypothesis
import numpy as np
import pytest
import tiny_coco
from hypothesis import strategies as st
from pycocotools import mask as coder

from keras_mambaout.detection import CocoDataset, coco_metrics
from keras_mambaout.detection.annotation_checks import checked_labels
from keras_mambaout.detection.segmentation_checks import find_problems, polygons_problem, runs_problem

pytestmark = pytest.mark.no_backend
some = hypothesis.settings(derandomize=True, deadline=None, max_examples=50, database=None)
TRIANGLE = [1, 2, 30.5, 2, 30.5, 40]
NAN, INF = float("nan"), float("inf")


def labels(**changes):
    """The labels of `tiny_coco` with changes in its first annotation, of an image of 60 x 40."""
    content = tiny_coco.content()
    content["annotations"][0].update(changes)
    return content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmentation": [[1, 1, 5, 5]]}, "even count of numbers, 6 or more, got 4"),
        ({"segmentation": [TRIANGLE, [1, 1, 5, 5]]}, "6 or more, got 4"),
        ({"segmentation": [[]]}, "6 or more, got 0"),
        ({"segmentation": [[*TRIANGLE, 7]]}, "got 7"),
        ({"segmentation": [[[1, 1], [50, 50], [90, 1]]]}, r"\[\[x, y, x, y, \.\.\.\], \.\.\.\], of numbers and not of"),
        ({"segmentation": TRIANGLE}, "must be a list of polygons"),
        ({"segmentation": [[*TRIANGLE[:5], "40"]]}, "must be a list of polygons"),
        ({"segmentation": [[*TRIANGLE[:5], True]]}, "must be a list of polygons"),
        ({"segmentation": [[*TRIANGLE[:5], 10**400]]}, "must be a list of polygons"),
        ({"segmentation": "polygon"}, "must be a list of polygons or run lengths, got 'polygon'"),
        ({"segmentation": [[*TRIANGLE[:5], NAN]]}, "points must be finite .* got nan"),
        ({"segmentation": [[*TRIANGLE[:5], -INF]]}, "points must be finite .* got -inf"),
        ({"segmentation": [[*TRIANGLE[:5], 1e300]]}, r"within 1,000,000 pixels, got 1e\+300"),
        ({"segmentation": [[0, 0, 1e6, 0] * 5]}, "outline may be 4,194,304 pixels long, got 10000000"),
        (
            {"segmentation": {"size": [60, 40], "counts": [2400]}},
            r"the image's \[height, width\], \[40, 60\], got \[60",
        ),
        ({"segmentation": {"size": [2**31] * 2, "counts": [2**62]}}, "'size' of run lengths"),
        ({"segmentation": {"size": [40.0, 60], "counts": [2400]}}, "'size' of run lengths"),
        ({"segmentation": {"size": [40, 60]}}, "'counts' must be run lengths, .* got None"),
        ({"segmentation": {"size": [40, 60], "counts": [2401]}}, "'counts' must be run lengths"),
        ({"segmentation": {"size": [40, 60], "counts": [1200, 1199]}}, "add up to the image's 2400 pixels, got 2399"),
        ({"segmentation": {"size": [40, 60], "counts": [1200, 0, 1200]}}, "integers of 1 or more"),
        ({"segmentation": {"size": [40, 60], "counts": [2500, -100]}}, "integers of 1 or more"),
        ({"segmentation": {"size": [40, 60], "counts": [2**70]}}, "integers of 1 or more"),
        ({"segmentation": {"size": [40, 60], "counts": "PP"}}, "COCO's compressed form, got 'PP'"),
        ({"segmentation": {"size": [40, 60], "counts": "é"}}, "COCO's compressed form"),
        ({"segmentation": {"size": [40, 60], "counts": "oooooooooo1"}}, "COCO's compressed form"),
        ({"segmentation": {}}, "'size' of run lengths"),
        ({"bbox": [1, 2, -3, 4]}, "'bbox' must be four finite"),
        ({"bbox": ["1", "2", "3", "4"]}, "'bbox' must be four finite"),
        ({"bbox": [1, 2, 3, 10**400]}, "'bbox' must be four finite"),
        ({"bbox": [1, 2, 3, 1e300]}, "'bbox' must be four finite"),
        ({"iscrowd": "0"}, "'iscrowd' must be 0 or 1, got '0'"),
        ({"iscrowd": [0]}, "'iscrowd' must be 0 or 1"),
        ({"area": NAN}, "'area' must be a finite number of 0 or more, got nan"),
        ({"area": "9"}, "'area' must be"),
        ({"image_id": [7]}, r"'image_id' must be .* got \[7\]"),
        ({"category_id": {}}, "'category_id' must be .* got {}"),
        ({"category_id": True}, "'category_id' must be .* got True"),
    ],
)
def test_wrong_annotations(changes, message):
    for invalid in ("error", "skip"):
        content = labels(**changes)
        if invalid == "error":
            with pytest.raises(ValueError, match=f"^file: 1 of 7 annotations are wrong: annotation 1: .*{message}"):
                checked_labels(content, "file")
        else:
            left = checked_labels(content, "file", invalid)
            assert left == {**content, "annotations": content["annotations"][1:]}


def test_entries_that_are_no_dicts_and_ids_that_are_none(caplog):
    content = tiny_coco.content()
    content["annotations"] += [None, [1], {**content["annotations"][0], "id": [8]}, *[3] * 5]
    content["images"] += ["image", {**content["images"][2], "id": True}, {**content["images"][2], "id": 10**400}]
    message = (
        r"3 of 7 images and 8 of 15 annotations are wrong: images\[4\]: it must be a dict, got 'image'; images\[5\]"
    )
    with pytest.raises(ValueError, match=message) as raised:
        checked_labels(content, "file")
    assert "annotations[7]: it must be a dict, got None" in str(raised.value) and str(raised.value).count("got 3") == 2
    with caplog.at_level(logging.WARNING):
        assert checked_labels(content, "file", "skip") == tiny_coco.content()
    (warning,) = caplog.messages
    assert warning.startswith("file: 3 of 7 images and 8 of 15 annotations are wrong: ") and "left out" in warning


@pytest.mark.parametrize(
    "changes",
    [{"width": 2**31}, {"height": "40"}, {"width": 2**20, "height": 2**20}, {"id": 3}, {"id": [7]}, {"width": NAN}],
)
def test_wrong_images_are_left_out_with_their_annotations(changes, caplog):
    content = tiny_coco.content()
    content["images"][0].update(changes)
    with pytest.raises(ValueError, match=r"^file: \d of 4 images"):
        checked_labels(content, "file")
    with caplog.at_level(logging.WARNING):
        left = checked_labels(content, "file", "skip")
    gone = {3, 7} if changes == {"id": 3} else {7}
    assert [image["id"] for image in left["images"]] == [number for number in (7, 3, 12, 20) if number not in gone]
    kept = {item["id"] for item in tiny_coco.ANNOTATIONS if item["image_id"] not in gone}
    assert {item["id"] for item in left["annotations"]} == kept and len(caplog.messages) == 1


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../seven.png", "a/../../seven.png", "..", ".", "", 7, "a\0", "\ud800"]
)
def test_file_names_stay_in_the_folder(tmp_path, name):
    path, images = tiny_coco.write(tmp_path)
    content = tiny_coco.content()
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="1 of 4 images are wrong: image 7: 'file_name' must"):
        CocoDataset.from_json(path, images)
    assert CocoDataset.from_json(path, images, invalid="skip").image_ids == [3, 12, 20]
    content["images"][0]["file_name"] = "below/../seven.png"
    checked_labels(content, "file", files=True)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "list 'categories' is empty"),
        ([{"id": 2, "name": "two"}, 5], r"categories\[1\]: it must be a dict"),
        ([{"id": 2, "name": "two"}, {"id": 5, "name": ""}], "category 5: 'name' must be a text"),
        ([{"id": 2, "name": 2}], "category 2: 'name'"),
        ([{"id": [2], "name": "two"}], r"categories\[0\]: 'id'"),
    ],
)
def test_wrong_categories_are_errors_in_any_case(categories, message):
    for invalid in ("error", "skip"):
        with pytest.raises(ValueError, match=f"^file: .*{message}"):
            checked_labels({**tiny_coco.content(), "categories": categories}, "file", invalid)


def test_nothing_is_left():
    content = {**tiny_coco.content(), "images": [None]}
    with pytest.raises(ValueError, match="No image is left"):
        checked_labels(content, "file", "skip")
    with pytest.raises(ValueError, match="`invalid` must be one of 'error', 'skip', got 'ignore'"):
        CocoDataset.from_json("nowhere.json", "nowhere", invalid="ignore")


def test_right_labels_are_returned_as_they_are(coco128):
    """Polygons beyond the image, boxes without area, crowds and the labels of COCO itself."""
    for content in (tiny_coco.content(), coco128.ground_truth):
        before = copy.deepcopy(content)
        assert checked_labels(content, "file") is content and content == before
    rare = {"segmentation": None, "area": 0, "iscrowd": False, "id": "a"}
    checked_labels(labels(**rare), "file")
    checked_labels(labels(segmentation=[[-9.5, -9, 700, -9, 700, 90]], bbox=[-5, -5, 900, 0]), "file")


number = st.one_of(
    st.floats(-1e4, 1e4), st.integers(-50, 700), st.sampled_from([NAN, INF, 1e300, 10**400, "1", None, True])
)


@some
@hypothesis.given(st.lists(st.lists(st.lists(number, min_size=4, max_size=9), min_size=1, max_size=3), max_size=8))
def test_polygons_are_judged_together_as_each_alone(objects):
    """And those that are right are those whose numbers are numbers, of three points or more."""

    def right(polygon):
        numbers = [value for value in polygon if type(value) in (int, float) and abs(value) <= 1e6]
        return len(numbers) == len(polygon) >= 6 and len(polygon) % 2 == 0

    wrong = {row for row, polygons in enumerate(objects) if not all(map(right, polygons))}
    found = find_problems(objects, polygons_problem)
    assert set(found) == wrong
    assert found == {row: polygons_problem([objects[row]]) for row in wrong}


@some
@hypothesis.given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_run_lengths_of_any_mask(height, width, seed):
    random = np.random.default_rng(seed)
    mask = np.asfortranarray(random.random((height, width)) < random.random() ** 2, "uint8")
    runs = coder.encode(mask)
    assert runs_problem(runs, (height, width)) is None
    assert runs_problem({**runs, "counts": runs["counts"].decode()}, (height, width)) is None
    assert runs_problem(runs, (height + 1, width)) and runs_problem({**runs, "counts": runs["counts"][:-1]}, mask.shape)


@some
@hypothesis.given(st.text("0123456789:;<=>?@PQRSTUVWXYZ`abcdefghijklmno", min_size=1, max_size=6))
def test_compressed_run_lengths_that_are_accepted_decode(text):
    """What is accepted has the pixels of the image, and decodes to what its text says."""
    size = [4, 5]
    runs = {"size": size, "counts": text}
    if runs_problem(runs, (4, 5)) is None:
        assert coder.decode(runs).shape == (4, 5)
        again = coder.encode(coder.decode(runs))
        assert coder.area(again) == coder.area(runs)


RESULT = {"image_id": 7, "category_id": 90, "bbox": [6, 4, 30, 20], "score": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": NAN}, "'score' must be a finite number, got nan"),
        ({"score": "1"}, "'score'"),
        ({"bbox": [0, 0, NAN, 1]}, "'bbox'"),
        ({"image_id": [7]}, "'image_id'"),
        ({"segmentation": [TRIANGLE]}, "must be compressed run lengths"),
        ({"segmentation": {"size": [40, 60], "counts": [2400]}}, "must be compressed run lengths"),
        ({"segmentation": {"size": [40, 60], "counts": "1"}}, "'counts' must add up"),
        ({"segmentation": {"size": [60, 40], "counts": "1"}}, "'size'"),
    ],
)
def test_wrong_results_and_labels_do_not_reach_pycocotools(changes, message):
    iou_type = "segm" if "segmentation" in changes else "bbox"
    with pytest.raises(ValueError, match=rf"^`results`: 1 of 2 results are wrong: results\[1\]: .*{message}"):
        coco_metrics(tiny_coco.content(), [RESULT, {**RESULT, **changes}], iou_type)
    with pytest.raises(ValueError, match=r"^`ground_truth`: 1 of 7 annotations are wrong: annotation 1: 'bbox'"):
        coco_metrics(labels(bbox=[1, 2, 3]), [])
    for ground_truth, results in ((None, []), ({"images": 1}, []), (tiny_coco.content(), "none")):
        with pytest.raises(ValueError, match="`ground_truth` must be a dict of the lists"):
            coco_metrics(ground_truth, results)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"images": [', "\ufeff{}", '{"images": [], "annotations": {}, "a": 1}']
)
def test_files_that_are_no_labels(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.json'"):
        CocoDataset.from_json(path, tmp_path)
    path.write_bytes(b'{"images": "\xff"}')
    with pytest.raises(ValueError, match=r"labels\.json' is not readable as JSON"):
        CocoDataset.from_json(path, tmp_path)


def test_skip_reads_what_is_right(tmp_path):
    path, images = tiny_coco.write(tmp_path)
    content = labels(segmentation=[[1, 1, 5, 5]])
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"labels\.json': 1 of 7 .*Correct them, or leave them out with `invalid=\"skip\"`"
    ):
        CocoDataset.from_json(path, images)
    dataset = CocoDataset.from_json(path, images, invalid="skip")
    assert [item["id"] for item in dataset.ground_truth["annotations"]] == [2, 3, 4, 5, 6, 7]
    batches = dataset.batches(4, image_size=64, masks=True, mask_size=28)
    assert [labels["classes"].shape for _, labels in batches.as_numpy_iterator()] == [(4, 100)]


def test_two_categories_may_have_one_name():
    categories = [{**category, "name": "helmet"} for category in tiny_coco.content()["categories"]]
    content = {**tiny_coco.content(), "categories": categories}
    assert checked_labels(content, "file") is content
