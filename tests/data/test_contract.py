"""The contract of the data sets: the same assertions for classification, detection and segmentation."""

import inspect
import json
import logging
import os
import types

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mambaout.classification import ClassificationDataset
from keras_mambaout.detection import CocoDataset
from keras_mambaout.segmentation import SegmentationAugmentation, SegmentationDataset

pytestmark = pytest.mark.no_backend

SHARED = {"training": False, "seed": 0, "epochs": None, "first_step": 0, "shard": (0, 1)}
COUNT, SIDE, STEP = 7, 32, 30  # images, their side, and the step of grey from one to the next
BATCH = 2
NAMES = ["left", "right"]
MIRRORED = SegmentationAugmentation(scale_range=(1.0, 1.0), cat_max_ratio=1.0, photometric_distortion=False)


def write_images(folder, paths):
    """Writes image `i` in the grey `STEP * i`, but for a white pixel that tells whether it was mirrored."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((SIDE, SIDE, 3), STEP * number, "uint8")
        pixels[-1, 0] = 255
        Image.fromarray(pixels).save(path)
    return [str(path) for path in paths]


class Classification:
    options = types.MappingProxyType({"image_size": SIDE})
    training = types.MappingProxyType({})

    def __init__(self, folder):
        self.paths = write_images(folder, [folder / NAMES[i // 4] / f"{i}.png" for i in range(COUNT)])
        self.read = lambda: ClassificationDataset.from_folder(folder)
        self.dataset = self.read()

    def check_labels(self, labels, index):
        assert labels == index // 4

    def told_by(self, labels):
        return labels * 4  # the first of the class


class Detection:
    options = types.MappingProxyType({"image_size": SIDE})
    training = types.MappingProxyType({})

    def __init__(self, folder):
        self.paths = write_images(folder, [folder / f"{i}.png" for i in range(COUNT)])
        size = {"width": SIDE, "height": SIDE}
        images = [{"id": 90 - i, "file_name": f"{i}.png", **size} for i in range(COUNT)]
        boxes = [{"id": i, "image_id": 90 - i, "category_id": 3, "bbox": [0, 0, 8, 10 + i]} for i in range(COUNT)]
        categories = [{"id": 3, "name": NAMES[0]}, {"id": 5, "name": NAMES[1]}]
        labels = folder / "labels.json"
        labels.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
        self.read = lambda: CocoDataset.from_json(labels, folder)
        self.dataset = self.read()

    def check_labels(self, labels, index):
        assert sorted(labels) == ["boxes", "classes"]
        np.testing.assert_array_equal(labels["boxes"], [[0, 0, 8, 10 + index]])

    def told_by(self, labels):
        return labels["boxes"][:, 0, 3] - 10


class Segmentation:
    options = types.MappingProxyType({"crop_size": SIDE, "shortest_edge": SIDE})
    training = types.MappingProxyType({"augmentation": MIRRORED})

    def __init__(self, folder):
        self.paths = write_images(folder, [folder / "images" / f"{i}.png" for i in range(COUNT)])
        (folder / "labels").mkdir()
        for index in range(COUNT):
            Image.fromarray(self.label_map(index)).save(folder / "labels" / f"{index}.png")
        self.read = lambda: SegmentationDataset.from_folder(folder / "images", folder / "labels", NAMES)
        self.dataset = self.read()

    def label_map(self, index):
        return np.tile(np.arange(SIDE) > index, (SIDE, 1)).astype("uint8")

    def check_labels(self, labels, index):
        np.testing.assert_array_equal(labels, self.label_map(index))

    def told_by(self, labels):
        return np.sum(labels[:, 0] == 0, axis=1) - 1


@pytest.fixture(params=[Classification, Detection, Segmentation])
def case(request, tmp_path):
    return request.param(tmp_path)


def batches(case, dataset=None, training=False, **arguments):
    options = {**case.options, **(case.training if training else {})}
    return (dataset or case.dataset).batches(BATCH, training=training, **options, **arguments)


def read(*arguments, **options):
    """Returns the images of all batches."""
    return [images for images, _ in batches(*arguments, **options).as_numpy_iterator()]


def numbers(images):
    """Returns the numbers of the images in each batch."""
    return [np.round(batch[:, 0, 0, 0] / STEP).astype(int).tolist() for batch in images]


def flat(images):
    return [number for batch in numbers(images) for number in batch]


def spoil(case, *indices):
    for index in indices:
        with open(case.paths[index], "r+b") as file:
            file.truncate(60)


def test_signatures(case):
    batch_size, *others = list(inspect.signature(case.dataset.batches).parameters.values())
    assert batch_size.name == "batch_size" and batch_size.default is inspect.Parameter.empty
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in others)
    assert {parameter.name: parameter.default for parameter in others[: len(SHARED)]} == SHARED
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in (batch_size, *others))
    steps = inspect.signature(case.dataset.steps_per_epoch).parameters
    assert {name: parameter.default for name, parameter in steps.items()} == {
        "batch_size": inspect.Parameter.empty,
        "training": True,
    }


def test_what_a_data_set_is(case):
    dataset = case.dataset
    assert dataset.class_names == NAMES and dataset.num_classes == 2
    assert len(dataset) == COUNT and dataset.unreadable == []
    assert (dataset.steps_per_epoch(BATCH), dataset.steps_per_epoch(BATCH, training=False)) == (3, 4)
    assert numbers(read(case)) == [[0, 1], [2, 3], [4, 5], [6]], "in order"


def test_load(case):
    for index in (0, 3, COUNT - 1):
        image, labels = case.dataset.load(index)
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 and image[0, 0, 0] == STEP * index
        case.check_labels(labels, index)
    for index in (-1, COUNT, "0", None):
        with pytest.raises(ValueError, match="must be an integer from 0 to 6, got"):
            case.dataset.load(index)


def test_subset(case):
    part = case.dataset.subset([5, np.int64(0), 3])
    assert type(part) is type(case.dataset) and len(part) == 3 and part.class_names == NAMES
    assert flat(read(case, part)) == [5, 0, 3]
    case.check_labels(part.load(2)[1], 3)
    assert flat(read(case, part.subset([2, 0]))) == [3, 5], "indices are those of the subset"
    assert sorted(flat(read(case, part.subset([2, 0]), training=True))) == [3, 5]
    assert len(case.dataset) == COUNT
    for indices, message in (([], "got 0 indices"), ([1, 1], "each once"), ([1, COUNT], "from 0 to 6, got 7")):
        with pytest.raises(ValueError, match=message):
            case.dataset.subset(indices)


def test_a_digest_tells_images_labels_and_order_apart(case, tmp_path):
    (tmp_path / "again").mkdir()
    again = type(case)(tmp_path / "again").dataset
    digest, digests = case.dataset.digest(), {case.dataset.subset(indices).digest() for indices in ([0, 1], [1, 0])}
    assert again.digest() == digest, "wherever the folder is"
    assert len({digest, *digests}) == 3 and case.dataset.subset(range(COUNT)).digest() == digest
    if hasattr(again, "ground_truth"):
        labels = json.loads((tmp_path / "labels.json").read_text())
        labels["annotations"][3]["bbox"][2] += 1
        (tmp_path / "labels.json").write_text(json.dumps(labels))
        assert CocoDataset.from_json(tmp_path / "labels.json", tmp_path).digest() != digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be an integer of 1 or more, got 0"),
        ({"batch_size": 8, "training": True}, "7 images.* are not one batch of 8"),
        ({"seed": None}, r"`seed` must be an integer from 0 to 2\^63 - 1, got None"),
        ({"seed": -1}, "`seed` must be an integer from 0"),
        ({"seed": 1.0}, "`seed` must be an integer from 0"),
        ({"epochs": (0, 2)}, "`epochs` are for training"),
        ({"epochs": 3, "training": True}, r"`epochs` must be None or \(first, stop\) with 0 <= first < stop, got 3"),
        ({"epochs": (2, 2), "training": True}, "`epochs` must be None or"),
        ({"epochs": (0, 1.5), "training": True}, "`epochs` must be None or"),
        ({"first_step": 1, "training": True}, "`first_step` is that of the first of `epochs`: .* got 1 alone"),
        ({"first_step": 3, "training": True, "epochs": (0, 2)}, "must be an integer from 0 to 2, of an epoch's 3, got"),
        ({"first_step": -1, "training": True, "epochs": (0, 2)}, "`first_step` must be an integer from 0"),
        ({"first_step": True, "training": True, "epochs": (0, 2)}, "`first_step` must be an integer from 0"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\) with 0 <= index < count, got \(2, 2\)"),
        ({"shard": 1}, r"`shard` must be \(index, count\)"),
        ({"shard": (0, 3)}, "must be a multiple of their number 3, got 2"),
    ],
)
def test_errors(case, arguments, message):
    with pytest.raises(ValueError, match=message):
        case.dataset.batches(**{"batch_size": BATCH, **case.options, **arguments})


def test_an_epoch_is_a_function_of_seed_and_number(case):
    stream = batches(case, training=True, seed=5, epochs=(0, 3))
    assert len(stream) == 9
    whole = [images for images, _ in stream.as_numpy_iterator()]
    epochs = [flat(whole[start : start + 3]) for start in (0, 3, 6)]
    assert all(len(set(epoch)) == 6 for epoch in epochs), "no image comes twice"
    assert len(set(map(tuple, epochs))) == 3, "each epoch is shuffled anew"
    np.testing.assert_array_equal(read(case, training=True, seed=5, epochs=(1, 3)), whole[3:])
    one_by_one = batches(case, training=True, seed=5)
    assert len(one_by_one) == 3
    again = [images for _ in range(3) for images, _ in one_by_one.as_numpy_iterator()]
    np.testing.assert_array_equal(again, whole)
    assert flat(read(case, training=True, seed=6)) != epochs[0]
    if not isinstance(case, Classification):  # which mirrors with an augmentation only
        mirrored = [image[-1, -1, 0] > image[-1, 0, 0] for batch in whole for image in batch]
        assert any(mirrored) and not all(mirrored)


def test_an_epoch_goes_on_from_a_step(case, monkeypatch):
    """With the same pixels, those that come instead of unreadable ones too, and without reading an image before it."""
    spoil(case, 4, 1)
    arguments = {"training": True, "seed": 5}
    whole = read(case, **arguments, epochs=(1, 3))
    parts = [read(case, **arguments, epochs=(1, 3), first_step=1, shard=(index, 2)) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole[1:])
    stream = batches(case, **arguments, epochs=(1, 2), first_step=2)
    source, loaded = case.dataset._source, []
    load = source.load
    monkeypatch.setattr(source, "load", lambda index: loaded.append(int(index)) or load(index))
    assert len(stream) == 1 and numbers(images for images, _ in stream.as_numpy_iterator()) == numbers([whole[2]])
    assert set(flat([whole[2]])) <= set(loaded) <= {*flat([whole[2]]), 1, 4}


@pytest.mark.parametrize("training", [True, False])
def test_shards_divide_each_batch(case, training):
    arguments = {"training": training, **({"epochs": (0, 2)} if training else {})}
    whole = read(case, **arguments)
    parts = [read(case, shard=(index, 2), **arguments) for index in range(2)]
    assert [len(part) for part in parts] == ([6, 6] if training else [4, 3])
    for number, batch in enumerate(whole):
        together = np.concatenate([part[number] for part in parts if number < len(part)])
        np.testing.assert_array_equal(together, batch)


def test_unreadable_images_are_named_and_left_out(case, caplog):
    spoil(case, 4, 1)
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        for _ in range(2):
            assert flat(read(case)) == [0, 2, 3, 5, 6]
        assert [index for index, _ in case.dataset.examples()] == [0, 2, 3, 5, 6]
    assert case.dataset.unreadable == [case.paths[1], case.paths[4]] and len(case.dataset) == COUNT
    assert len(caplog.messages) == 2, "each is named once"
    assert all(message.endswith("; it is left out.") for message in caplog.messages)
    with pytest.raises(ValueError, match=r"4\.png' is not a readable image"):
        case.dataset.load(4)


@pytest.mark.parametrize("when", ["before", "after"])
def test_missing_images_are_unreadable_ones(case, when, caplog):
    """Deleted before the data set was made, if there is something else that says that they are missing, and after."""
    if when == "before" and isinstance(case, Classification):
        pytest.skip("its images are those that are there")
    for index in (4, 1):
        os.remove(case.paths[index])
    dataset = case.read() if when == "before" else case.dataset
    with caplog.at_level(logging.WARNING, "keras_mambaout"):
        for _ in range(2):
            assert flat(read(case, dataset)) == [0, 2, 3, 5, 6]
        assert [index for index, _ in dataset.examples()] == [0, 2, 3, 5, 6]
    assert set(flat(read(case, dataset, training=True))) == {0, 2, 3, 5, 6} and len(dataset) == COUNT
    assert dataset.unreadable == [case.paths[1], case.paths[4]]
    for message, path in zip(sorted(caplog.messages), dataset.unreadable, strict=True):
        assert message.startswith(f"There is no image file {path!r}") and message.endswith("; it is left out.")


def test_in_training_others_come_instead(case):
    """Those that follow, after the last the first, with their own labels; all others keep their place."""
    instead = {1: 2, 4: 5, 6: 0}
    expected = [instead.get(number, number) for number in flat(read(case, training=True, epochs=(0, 2)))]
    spoil(case, *instead)
    whole = list(batches(case, training=True, epochs=(0, 2)).as_numpy_iterator())
    assert flat(images for images, _ in whole) == expected
    told = np.concatenate([case.told_by(labels) for _, labels in whole])
    np.testing.assert_array_equal(told, [4 * (n // 4) if isinstance(case, Classification) else n for n in expected])
    assert case.dataset.unreadable == [case.paths[index] for index in instead]


@pytest.mark.parametrize("kind", [Detection, Segmentation])
def test_full_batches(kind, tmp_path):
    """All shards have equally many, of the images of one device; what fills them up has no labels that count."""
    case = kind(tmp_path)
    spoil(case, 2)
    options = {**case.options, "full": True, **({"sizes": True} if kind is Detection else {})}
    whole = case.dataset.batches(4, **options)
    assert whole.cardinality() == 2
    whole = list(whole.as_numpy_iterator())
    rows = [row for batch in whole for row in counts(*batch)]
    assert np.flatnonzero(rows).tolist() == [0, 1, 3, 4, 5, 6] and len(rows) == 8
    for index in range(2):
        part = case.dataset.batches(4, **options, shard=(index, 2))
        for batch, expected in zip(part.as_numpy_iterator(), whole, strict=True):
            keras.tree.map_structure(
                lambda found, wanted, index=index: np.testing.assert_array_equal(found, wanted[index::2]),
                batch,
                expected,
            )
    with pytest.raises(ValueError, match="`full` is not for training"):
        case.dataset.batches(4, **{**options, "training": True})


def counts(images, labels):
    """Returns which rows of a batch have labels."""
    if not isinstance(labels, dict):
        return (labels != 255).any((1, 2))
    assert (images["sizes"][(labels["classes"] < 0).all(1)] == 0).all()
    return (labels["classes"] >= 0).any(1)


def test_no_readable_image(case):
    spoil(case, *range(COUNT))
    for training in (True, False):
        with pytest.raises(ValueError, match="None of the 7 images is readable"):
            batches(case, training=training)
    with pytest.raises(ValueError, match="None of the 7 images is readable"):
        list(case.dataset.examples())
