"""Data sets of TensorFlow Datasets, made here with the features that COCO and VOC have there."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_mambaout.detection import CocoDataset, coco_metrics, detections_to_results

SIZES = [(40, 60), (50, 30), (32, 32), (48, 48), (30, 70)]  # heights and widths
COLORS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]
# top, left, bottom, right in pixels, label, crowd or difficult
OBJECTS = [
    [((4, 6, 24, 36), 2, False), ((0, 0, 20, 20), 0, False)],
    [((10, 0, 30, 15), 1, False), ((0, 0, 50, 30), 1, True)],
    [],
    [((12, 12, 36, 24), 0, False)],
    [((0, 0, 30, 35), 2, True)],
]
NAMES = ["apple", "bird", "car"]

pytestmark = pytest.mark.no_backend


def jpeg(size, color):
    file = io.BytesIO()
    Image.new("RGB", size[::-1], color).save(file, "JPEG", quality=95)
    file.seek(0)
    return file


class TinyBoxes(tfds.core.GeneratorBasedBuilder):
    """What the data sets below share: two splits of two shards."""

    VERSION = tfds.core.Version("1.0.0")
    flag = None

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=NAMES),
            self.flag: np.bool_,
        }
        features = {"image": tfds.features.Image(encoding_format="jpeg"), "image/filename": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({**features, **self.more(objects)}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(5)), "validation": self._generate_examples(range(2))}

    def _generate_examples(self, numbers):
        for key, number in enumerate(numbers):
            height, width = SIZES[number]
            objects = []
            for (top, left, bottom, right), label, flag in OBJECTS[number]:
                box = tfds.features.BBox(top / height, left / width, bottom / height, right / width)
                objects.append({"bbox": box, "label": label, self.flag: flag})
            sample = {"image": self.encode(number), "image/filename": f"{number}.jpg"}
            yield key, {**sample, **self.labels(number, objects)}

    def encode(self, number):
        return jpeg(SIZES[number], COLORS[number])


class TinyCoco(TinyBoxes):
    """The features of `coco/2017`; images have the ids 100, 107, 114, ..."""

    flag = "is_crowd"

    def more(self, objects):
        return {"image/id": np.int64, "objects": tfds.features.Sequence({**objects, "area": np.int64, "id": np.int64})}

    def labels(self, number, objects):
        objects = [{**item, "area": 10 * (row + 1), "id": 900 + row} for row, item in enumerate(objects)]
        return {"image/id": 100 + 7 * number, "objects": objects}


class TinyVoc(TinyBoxes):
    """The features of `voc/2007`."""

    flag = "is_difficult"

    def more(self, objects):
        return {"objects": tfds.features.Sequence(objects)}

    def labels(self, number, objects):
        return {"objects": objects}


class TinyMany(TinyVoc):
    """The images above eight times over, enough to be read from several files in turn."""

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples([number % 5 for number in range(40)])}


class TinyBroken(TinyVoc):
    """The image 1 is cut off."""

    def encode(self, number):
        file = super().encode(number)
        return io.BytesIO(file.getvalue()[:-100]) if number == 1 else file


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Images without boxes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": np.int64})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": np.zeros((4, 4, 3), "uint8"), "label": 0}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    shards = tfds.download.DownloadConfig(num_shards=2)
    for name in ("tiny_coco", "tiny_voc", "tiny_many", "tiny_broken"):
        tfds.builder(name, data_dir=folder).download_and_prepare(download_config=shards)
    return folder


@pytest.fixture(scope="module")
def coco(data_folder):
    return CocoDataset.from_tfds("tiny_coco", split="train", data_dir=data_folder)


def test_labels_of_coco(coco):
    assert coco.image_ids == [100, 107, 114, 121, 128]
    assert coco.class_names == NAMES and coco.category_ids == [1, 2, 3]
    assert [coco.image_size(image_id) for image_id in coco.image_ids] == SIZES
    truth = coco.ground_truth
    assert truth["images"][1] == {"id": 107, "width": 30, "height": 50, "file_name": "1.jpg"}
    assert [item["id"] for item in truth["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert [item["image_id"] for item in truth["annotations"]] == [100, 100, 107, 107, 121, 128]
    assert [item["category_id"] for item in truth["annotations"]] == [3, 1, 2, 2, 1, 3]
    assert [item["iscrowd"] for item in truth["annotations"]] == [0, 0, 0, 1, 0, 1]
    assert [item["area"] for item in truth["annotations"]] == [10, 20, 10, 20, 10, 10]
    np.testing.assert_allclose(truth["annotations"][0]["bbox"], [6, 4, 30, 20], atol=1e-4)


def test_labels_of_voc(data_folder):
    voc = CocoDataset.from_tfds("tiny_voc", split="train+validation", data_dir=data_folder)
    assert voc.image_ids == [1, 2, 3, 4, 5, 6, 7]
    assert [item["iscrowd"] for item in voc.ground_truth["annotations"]] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
    assert [item["ignore"] for item in voc.ground_truth["annotations"]][:4] == [0, 0, 0, 1]
    assert voc.ground_truth["annotations"][0]["area"] == pytest.approx(30 * 20, abs=0.01)
    assert color(voc.load(3)[0]) == COLORS[3]
    assert color(voc.load(6)[0]) == COLORS[1], "the second image of validation"
    part = CocoDataset.from_tfds("tiny_voc", split="train[3:]", data_dir=data_folder)
    assert part.image_ids == [1, 2] and color(part.load(0)[0]) == COLORS[3]


def color(image):
    """The colour in `COLORS` that a part of an image has."""
    mean = np.asarray(image, "float64").mean((0, 1))
    distances = np.abs(np.array(COLORS) - mean).max(-1)
    assert distances.min() < 4
    return COLORS[int(np.argmin(distances))]


def test_images_come_with_their_labels_in_order(coco):
    images, labels = next(coco.batches(batch_size=5, image_size=70).as_numpy_iterator())
    assert [color(image[:8, :8]) for image in images] == COLORS
    np.testing.assert_array_equal(labels["image_id"], coco.image_ids)
    np.testing.assert_array_equal(labels["classes"][:, :2], [[2, 0], [1, -1], [-1, -1], [0, -1], [-1, -1]])
    scale = 70 / 60
    np.testing.assert_allclose(labels["boxes"][0, 0], [6 * scale, 4 * 47 / 40, 36 * scale, 24 * 47 / 40], rtol=1e-5)


@pytest.mark.parametrize("indices", [[3, 0, 1], [4], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1]])
def test_subset_has_any_order(coco, indices):
    batches = coco.subset(indices).batches(batch_size=1, image_size=70)
    found = [(int(labels["image_id"][0]), color(images[0, :8, :8])) for images, labels in batches.as_numpy_iterator()]
    assert found == [(coco.image_ids[index], COLORS[index]) for index in indices]


def test_order_does_not_depend_on_how_files_are_read(data_folder):
    many = CocoDataset.from_tfds("tiny_many", data_dir=data_folder)
    names = [image["file_name"] for image in many.ground_truth["images"]]
    assert names == [f"{number % 5}.jpg" for number in range(40)]
    order = [*range(20, 40), *range(20)]
    images, labels = next(many.subset(order).batches(batch_size=40, image_size=70).as_numpy_iterator())
    assert labels["image_id"].tolist() == [number + 1 for number in order]
    assert [color(image[:8, :8]) for image in images] == [COLORS[number % 5] for number in order]


def test_load(coco):
    for index, (size, expected) in enumerate(zip(SIZES, COLORS, strict=True)):
        image, objects = coco.load(index)
        assert image.dtype == np.uint8 and image.shape == (*size, 3)
        assert color(image) == expected
        assert len(objects["boxes"]) == sum(not ignored for *_, ignored in OBJECTS[index])


def classes_of(batches):
    return [labels["classes"][0, :2].tolist() for _, labels in batches.as_numpy_iterator()]


def test_training(coco):
    arguments = {"batch_size": 1, "image_size": 70, "training": True}
    batches = coco.batches(**arguments, seed=1)
    assert len(batches) == 3, "without the images that have no objects or a crowd only"
    epochs = [classes_of(batches) for _ in range(6)]
    assert all(sorted(epoch) == [[0, -1], [1, -1], [2, 0]] for epoch in epochs)
    assert any(epoch != epochs[0] for epoch in epochs), "each epoch is shuffled anew"
    again = coco.batches(**arguments, seed=1)
    assert [classes_of(again) for _ in range(6)] == epochs


@pytest.mark.parametrize(
    "resizing", [{"image_size": 70}, {"shortest_edge": 40, "longest_edge": 80, "multi_scale": (24, 40)}]
)
def test_an_epoch_is_a_function_of_seed_and_number(data_folder, resizing):
    """24 of 40 images have objects; they come from two files, mirrored or not, of one size or of the buckets'."""
    many = CocoDataset.from_tfds("tiny_many", data_dir=data_folder)
    arguments = {"batch_size": 6, "training": True, "seed": 4, **resizing}

    def read(**options):
        batches = many.batches(**arguments, **options).as_numpy_iterator()
        return [(images[:, 0, 0], labels["boxes"][:, 0]) for images, labels in batches]

    assert many.steps_per_epoch(6) == 4
    whole = read(epochs=(0, 3))
    assert len(whole) == 12
    for part, expected in zip(read(epochs=(1, 3)), whole[4:], strict=True):
        for array, other in zip(part, expected, strict=True):
            np.testing.assert_array_equal(array, other)
    boxes = [np.concatenate([boxes for _, boxes in whole[start : start + 4]]) for start in (0, 4, 8)]
    assert any((boxes[0] != other).any() for other in boxes[1:])
    for index in range(2):
        for (_, part), (_, batch) in zip(read(shard=(index, 2)), whole[:4], strict=True):
            np.testing.assert_array_equal(part, batch[index::2])


def test_a_damaged_image_is_left_out(data_folder, caplog):
    broken = CocoDataset.from_tfds("tiny_broken", data_dir=data_folder)
    with caplog.at_level("WARNING", "keras_mambaout"):
        (_, labels), *_ = broken.batches(5, image_size=70).as_numpy_iterator()
    assert labels["image_id"].tolist() == [1, 3, 4, 5]
    (name,) = broken.unreadable
    assert name.startswith("tiny_broken-train.tfrecord-0000") and f"{name!r} is not a readable image" in caplog.text
    with pytest.raises(ValueError, match=r"__1' is not a readable image"):
        broken.load(1)
    training = broken.batches(1, training=True, image_size=70)
    assert sorted(classes_of(training)) == [[0, -1], [0, -1], [2, 0]], "the next one with objects comes instead"


def test_perfect_detections(coco):
    _, labels = next(coco.batches(batch_size=5, image_size=70).as_numpy_iterator())
    predictions = {key: labels[key] for key in ("boxes", "classes")} | {"confidence": np.ones((5, 100))}
    ids, scales = labels["image_id"], labels["scale"]
    results = detections_to_results(predictions, ids, scales, coco.category_ids, "xyxy")
    assert len(results) == 4
    assert coco_metrics(coco.ground_truth, results)["AP"] == pytest.approx(1)


def test_progress(data_folder, capsys):
    CocoDataset.from_tfds("tiny_voc", data_dir=data_folder)  # no terminal
    assert capsys.readouterr().out == ""
    CocoDataset.from_tfds("tiny_voc", data_dir=data_folder, verbose=1)
    assert "5/5" in capsys.readouterr().out


def test_errors(coco, data_folder, tmp_path):
    with pytest.raises(ValueError, match=r"has no data set 'nonesuch'.*'coco/2017', 'voc/2007'"):
        CocoDataset.from_tfds("nonesuch", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"'tiny_pictures' must have .*'objects'.* it has 'image', 'label'"):
        CocoDataset.from_tfds("tiny_pictures", data_dir=tmp_path)
    with pytest.raises(ValueError, match="Unknown split 'tests'"):
        CocoDataset.from_tfds("tiny_coco", split="tests", data_dir=data_folder)
    with pytest.raises(ValueError, match=r"4 objects have none.*TensorFlow Datasets has no masks"):
        coco.batches(5, image_size=70, masks=True)
