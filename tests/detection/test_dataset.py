"""Labels in COCO's format are read, checked and found by image."""

import json
import logging
import re
import sys
import time

import numpy as np
import pytest
import tiny_coco
from PIL import Image

from keras_mambaout.detection import CocoDataset

pytestmark = pytest.mark.no_backend


@pytest.fixture
def dataset(tmp_path):
    return CocoDataset.from_json(*tiny_coco.write(tmp_path))


def test_ids_and_classes(dataset):
    assert len(dataset) == 4 and dataset.num_classes == 3
    assert dataset.image_ids == [7, 3, 12, 20]
    assert dataset.category_ids == [2, 5, 90]
    assert dataset.class_names == ["two", "five", "ninety"]
    assert dataset.image_size(3) == (50, 30)


def test_category_ids_map_both_ways(dataset):
    labels = next(iter(dataset.batches(batch_size=4, image_size=64)))[1]
    classes = labels["classes"].numpy()
    names = {90: 2.0, 2: 0.0, 5: 1.0}
    np.testing.assert_array_equal(classes[0, :3], [names[90], names[2], -1])
    np.testing.assert_array_equal(classes[1, :2], [names[5], -1])
    assert [dataset.category_ids[int(index)] for index in classes[0, :2]] == [90, 2]


def test_ground_truth_is_what_was_read(dataset):
    assert dataset.ground_truth == tiny_coco.content()
    list(dataset.batches(4, image_size=64, masks=True))
    assert dataset.ground_truth == tiny_coco.content(), "reading batches must not change it"


def test_load(dataset):
    image, objects = dataset.load(0)
    assert image.shape == (40, 60, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[0, 0], tiny_coco.GREY)
    np.testing.assert_array_equal(objects["boxes"], [[6, 4, 36, 24], [50, 30, 60, 40]])
    np.testing.assert_array_equal(objects["classes"], [2, 0])
    grey, _ = dataset.load(1)
    assert grey.shape == (50, 30, 3)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    with pytest.raises(ValueError, match="no image with the id 99 among its 4"):
        dataset.image_size(99)


def test_subset_keeps_the_order_and_the_classes(dataset):
    subset = dataset.subset([3, 0])
    assert subset.image_ids == [20, 7] and subset.category_ids == dataset.category_ids
    assert [image["id"] for image in subset.ground_truth["images"]] == [20, 7]
    assert [item["id"] for item in subset.ground_truth["annotations"]] == [1, 3, 4, 6]
    images, labels = next(iter(subset.batches(4, image_size=64)))
    np.testing.assert_array_equal(labels["image_id"], [20, 7])
    np.testing.assert_array_equal(labels["classes"][:, 0], [-1, 2])
    assert len(images) == 2 and dataset.image_ids == [7, 3, 12, 20]


def change(key, row, **values):
    labels = tiny_coco.content()
    labels[key][row].update(values)
    return labels


def without(key, row, name):
    labels = tiny_coco.content()
    del labels[key][row][name]
    return labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (change("annotations", 1, category_id=4), "1 of 7 annotations are wrong: annotation 2: 'category_id' .* got 4"),
        (change("annotations", 0, image_id=8), "annotation 1: 'image_id' must be the id of one of the images, got 8"),
        (without("annotations", 2, "image_id"), "annotation 3: 'image_id' .* got None"),
        (change("annotations", 4, bbox=[1, 2, 3]), r"annotation 5: 'bbox' must be four finite .*got \[1, 2, 3\]"),
        (change("annotations", 4, bbox=[1, 2, 3, float("nan")]), r"'bbox' must be four finite .*nan"),
        (change("annotations", 4, bbox=[1, 2, 3, "four"]), "'bbox' must be four finite .*'four'"),
        (change("annotations", 4, bbox=None), "annotation 5: 'bbox' .*None"),
        (without("annotations", 4, "bbox"), "annotation 5: 'bbox' .*None"),
        (change("images", 1, id=7), "2 of 4 images and 3 of 7 .*: image 7: its 'id' appears more than once; image 7: "),
        (change("images", 1, id="b"), "image 'b': 'id' must be an integer from 0 .* got 'b'"),
        (change("categories", 1, id=90), "1 of 3 categories are wrong: category 90: 'id' .* that no other has"),
        (without("categories", 1, "name"), "category 2: 'name' must be a text, got None"),
        (without("images", 1, "width"), "image 3: 'width' and 'height' must be integers .* got None and 50"),
        (change("images", 1, width=0), "image 3: 'width' and 'height' .* 1 or more"),
        (without("images", 1, "file_name"), "image 3: 'file_name' must be a text, got None"),
        ({**tiny_coco.content(), "images": [], "annotations": []}, r"labels\.json': the list 'images' is empty"),
    ],
)
def test_bad_labels(tmp_path, labels, message):
    arguments = tiny_coco.write(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ValueError, match=message):
        CocoDataset.from_json(*arguments)


def test_bad_files(tmp_path):
    path, images = tiny_coco.write(tmp_path)
    with pytest.raises(ValueError, match=r"no annotation file .*nowhere\.json"):
        CocoDataset.from_json(tmp_path / "nowhere.json", images)
    with pytest.raises(ValueError, match=r"no folder of images .*nowhere"):
        CocoDataset.from_json(path, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"None of 4 image files is in .*: seven\.png, .* must be the folder"):
        CocoDataset.from_json(path, tmp_path)
    path.write_text('{"info": {}, "images": [], "annotations": []}')
    with pytest.raises(ValueError, match=r"must hold the lists .* keys .*'annotations', 'images', 'info'"):
        CocoDataset.from_json(path, images)
    path.write_text("[]")
    with pytest.raises(ValueError, match="it holds list"):
        CocoDataset.from_json(path, images)
    path.write_text('{"images": [')
    with pytest.raises(ValueError, match="not readable as JSON"):
        CocoDataset.from_json(path, images)


def test_image_files_in_folders_below(tmp_path):
    labels = tiny_coco.content()
    labels["images"][0]["file_name"] = "train/seven.png"
    assert CocoDataset.from_json(*tiny_coco.write(tmp_path, labels)).load(0)[0].shape == (40, 60, 3)


def test_an_image_of_a_different_size_than_its_labels_is_left_out(dataset, tmp_path, caplog):
    Image.new("RGB", (40, 60)).save(tmp_path / "images" / "seven.png")
    message = r"seven\.png' is 40 pixels wide and 60 high .* labels are for 60 x 40"
    with pytest.raises(ValueError, match=message):
        dataset.load(0)
    with caplog.at_level(logging.WARNING):
        labels = [labels for _, labels in dataset.batches(4, image_size=64).as_numpy_iterator()]
    assert [part["image_id"].tolist() for part in labels] == [[3, 12, 20]]
    assert dataset.unreadable == [str(tmp_path / "images" / "seven.png")]
    assert re.search(message, caplog.text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of `image_size` .* image_size=None and shortest_edge=None"),
        ({"image_size": 64, "shortest_edge": 32}, "Exactly one .* image_size=64 and shortest_edge=32"),
        ({"image_size": 0}, "`image_size` must be a positive integer or .*, got 0"),
        ({"image_size": (64, 64, 3)}, r"integer or \(height, width\), got \(64, 64, 3\)"),
        ({"image_size": "640"}, "got '640'"),
        ({"shortest_edge": -1}, "`shortest_edge`"),
        (
            {"shortest_edge": 100, "longest_edge": 50},
            r"`longest_edge` must be at least `shortest_edge` \(100\), got 50",
        ),
        ({"shortest_edge": 32, "pad_to_multiple": 0}, "`pad_to_multiple`"),
        ({"image_size": 64, "batch_size": 0}, "`batch_size`"),
        ({"image_size": 64, "max_boxes": 0}, "`max_boxes`"),
        ({"image_size": 64, "bounding_box_format": "xy"}, "`bounding_box_format` must be one of 'xyxy', .* got 'xy'"),
        ({"image_size": 64, "training": True, "flip": 1.5}, "from 0 to 1, got 1.5"),
        ({"image_size": 64, "training": True, "seed": "1"}, "`seed` must be an integer from 0 to .*, got '1'"),
        ({"image_size": 64, "flip": 0.5}, "`flip` is for training"),
        ({"image_size": 64, "training": True, "batch_size": 3}, "2 images with objects are not one batch of 3"),
    ],
)
def test_bad_arguments_of_batches(dataset, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset.batches(**{"batch_size": 2, **arguments})


def test_masks_need_segmentation(tmp_path):
    labels = tiny_coco.content()
    del labels["annotations"][0]["segmentation"]
    del labels["annotations"][5]["segmentation"]  # a crowd needs none
    dataset = CocoDataset.from_json(*tiny_coco.write(tmp_path, labels))
    with pytest.raises(ValueError, match="1 objects have none"):
        dataset.batches(4, image_size=64, masks=True)


def test_too_many_objects_are_logged_once(dataset, caplog):
    with caplog.at_level(logging.WARNING):
        list(dataset.batches(4, image_size=64, max_boxes=1))
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 4 images have more than max_boxes=1 objects (at most 2); the largest are kept."
    ]
    caplog.clear()
    list(dataset.batches(4, image_size=64, max_boxes=2))
    assert not caplog.records


@pytest.mark.parametrize("module", ["tensorflow", "pycocotools"])
def test_missing_packages(dataset, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'needs {module}.*pip install "keras-mambaout\[detection\]"'):
        dataset.batches(4, image_size=64, masks=True)


def test_missing_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r'tensorflow_datasets.*pip install "keras-mambaout\[data\]"'):
        CocoDataset.from_tfds("coco/2017")


def test_reading_grows_with_the_number_of_annotations_and_no_faster(tmp_path):
    """COCO's training labels are twelve times this."""
    images = [{"id": i, "file_name": "one.png", "width": 60, "height": 40} for i in range(10_000)]
    box = [1.0, 2.0, 30.0, 20.0]
    annotations = [{"id": i, "image_id": i // 7, "category_id": 2, "bbox": box} for i in range(70_000)]
    arguments = tiny_coco.write(tmp_path)
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "one.png")
    labels = {"images": images, "annotations": annotations, "categories": tiny_coco.CATEGORIES}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    start = time.process_time()
    dataset = CocoDataset.from_json(*arguments)
    assert time.process_time() - start < 5
    assert len(dataset) == 10_000 and len(dataset.subset([5]).ground_truth["annotations"]) == 7
