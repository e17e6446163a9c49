"""Which labels are refused, and how each kind of data is watched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mambaout.detection.labels import ObjectLabels, check_labels
from keras_mambaout.models.label_checks import LabelChecker


def labels(classes=((0, 2, -1), (1, -1, -1)), **others):
    classes = np.array(classes, "float32")
    boxes = np.where(classes[..., None] < 0, -1.0, [[[5, 5, 20, 20]]]).astype("float32")
    return {"boxes": boxes, "classes": classes, **others}


class Batches(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def test_good_labels_pass():
    assert check_labels(labels(), 3)["classes"].shape == (2, 3)
    renamed = labels()
    renamed["labels"] = renamed.pop("classes")
    check_labels(renamed, 3)
    check_labels({"boxes": np.zeros((2, 0, 4)), "classes": np.zeros((2, 0))}, 3)  # no objects at all


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (labels(((0, 3, -1),)), "Classes must be integers from 0 to 2 .* got 3. COCO's category ids"),
        (labels(((0, -2, -1),)), "got -2"),
        (labels(((0, 1.5, -1),)), "got 1.5"),
        (labels(((0, np.nan, -1),)), "finite"),
        ({**labels(), "boxes": np.full((2, 3, 4), np.inf)}, "finite"),
        ({**labels(), "boxes": np.zeros((2, 5, 4))}, r"got shapes \(2, 5, 4\) and \(2, 3\)"),
        ({"boxes": np.zeros((2, 3, 4))}, r"got a dict with \['boxes'\]"),
        ({"classes": np.zeros((2, 3))}, r"got a dict with \['classes'\]"),
        (np.zeros((2, 3)), "must be a dict .* got ndarray"),
        (None, "got NoneType"),
    ],
)
def test_bad_labels(bad, message):
    with pytest.raises(ValueError, match=message):
        check_labels(bad, 3)


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "generator"])
def test_watched_data(kind):
    """The data pass unchanged, and the first wrong batch is reported after its step."""
    images = np.zeros((2, 8, 8, 3), "float32")
    batches = [(images, labels()), (images, labels(((7, 0, 0), (0, 0, 0))))]
    data = {
        "PyDataset": Batches(batches),
        "generator": iter(batches),
        "tf.data": tf.data.Dataset.from_generator(
            lambda: iter(batches),
            output_signature=(
                tf.TensorSpec((2, 8, 8, 3)),
                {"boxes": tf.TensorSpec((2, 3, 4)), "classes": tf.TensorSpec((2, 3))},
            ),
        ),
    }[kind]
    checker = LabelChecker(ObjectLabels(num_classes=3))
    watched, nothing = checker.watch(data)
    assert nothing is None
    read = iter(watched) if kind != "PyDataset" else map(watched.__getitem__, range(len(watched)))
    _, first = next(read)
    np.testing.assert_array_equal(first["boxes"], batches[0][1]["boxes"])
    if kind != "tf.data":  # which may read ahead
        checker.on_train_batch_end(0)
    _, second = next(read)
    np.testing.assert_array_equal(second["classes"], batches[1][1]["classes"])
    for hook in (checker.on_train_batch_end, checker.on_test_batch_end):
        with pytest.raises(ValueError, match=r"from 0 to 2 .* got 7"):
            hook(1)


def test_structure_is_checked_before_training():
    dataset = tf.data.Dataset.from_tensors((np.zeros((2, 8, 8, 3)), np.zeros(2)))
    with pytest.raises(ValueError, match="must be a dict"):
        LabelChecker(ObjectLabels(3)).watch(dataset)
    with pytest.raises(ValueError, match="got 3"):
        LabelChecker(ObjectLabels(3)).watch(np.zeros((1, 8, 8, 3)), labels(((3, 0, 0),)))
