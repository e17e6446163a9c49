"""Matching of anchors and proposals to objects, against the rules written as loops."""

import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.rcnn.matching import match_anchors, match_proposals


def iou(a, b):
    overlap = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod()
    return overlap / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap)


def overlaps(candidates, boxes, is_object):
    """IoUs `(A, N)`, 0 for padding."""
    table = [[iou(a, b) if real else 0.0 for b, real in zip(boxes, is_object, strict=True)] for a in candidates]
    return np.array(table).reshape(len(candidates), len(boxes))


def match_by_loops(candidates, boxes, is_object, low, high, best_of_object):
    table = overlaps(*(np.asarray(x, "float64") for x in (candidates, boxes)), is_object)
    positive, negative = [], []
    for row in table:
        is_best = best_of_object and any(
            real and value >= low and value == table[:, n].max()
            for n, (value, real) in enumerate(zip(row, is_object, strict=True))
        )
        positive.append(row.max() >= high or is_best)
        negative.append(row.max() < low and not positive[-1])
    return np.array(positive), np.array(negative), table.argmax(axis=1)


def call(function, *arguments):
    return tuple(ops.convert_to_numpy(x) for x in function(*map(ops.convert_to_tensor, arguments)))


def scene(candidates=300, objects=6, seed=0):
    """Candidates near and far from the objects of two images, of which the second has three."""
    random = np.random.RandomState(seed)
    corner, sides = random.uniform(0, 150, (2, objects, 2)), random.uniform(15, 60, (2, objects, 2))
    boxes = np.concatenate([corner, corner + sides], axis=-1)
    noise = random.normal(0, 6, (2, candidates, 4))
    near = boxes[:, random.randint(0, objects, candidates)] + noise
    near[..., 2:] = np.maximum(near[..., 2:], near[..., :2] + 5)
    is_object = np.ones((2, objects), bool)
    is_object[1, 3:] = False
    boxes[1, 3:] = -1.0  # padding
    return near.astype("float32"), boxes.astype("float32"), is_object


@pytest.mark.parametrize("seed", range(5))
def test_anchors(seed):
    candidates, boxes, is_object = scene(seed=seed)
    anchors = candidates[0]
    positive, negative, index = call(match_anchors, anchors, boxes, is_object)
    for image in range(2):
        expected = match_by_loops(anchors, boxes[image], is_object[image], 0.3, 0.7, best_of_object=True)
        np.testing.assert_array_equal(positive[image], expected[0])
        np.testing.assert_array_equal(negative[image], expected[1])
        np.testing.assert_array_equal(index[image][expected[0]], expected[2][expected[0]])
    assert positive[0].sum() > 10 and negative[0].sum() > 10 and not (positive[0] | negative[0]).all()


@pytest.mark.parametrize("seed", range(5))
def test_proposals(seed):
    proposals, boxes, is_object = scene(seed=seed)
    positive, negative, index = call(match_proposals, proposals, boxes, is_object)
    for image in range(2):
        expected = match_by_loops(proposals[image], boxes[image], is_object[image], 0.5, 0.5, best_of_object=False)
        np.testing.assert_array_equal(positive[image], expected[0])
        np.testing.assert_array_equal(negative[image], expected[1])
        np.testing.assert_array_equal(index[image][expected[0]], expected[2][expected[0]])
        assert 20 < positive[image].sum() < 280


def one_object(anchors, box=(0, 0, 10, 10)):
    boxes = np.array([[box, (-1, -1, -1, -1)]], "float32")
    triple = call(match_anchors, np.array(anchors, "float32"), boxes, np.array([[True, False]]))
    return tuple(x[0].tolist() for x in triple)


def test_thresholds():
    """IoUs of 0.8, 0.7, 0.6, 0.3, 0.2 and none, with an object of ten by ten."""
    anchors = [(0, 0, 10, side) for side in (8, 7, 6, 3, 2)] + [(50, 50, 60, 60)]
    positive, negative, index = one_object(anchors)
    assert positive == [True, True, False, False, False, False]
    assert negative == [False, False, False, False, True, True]
    assert index[:2] == [0, 0]


def test_best_anchors_of_an_object_with_little_overlap():
    """They are positive from an IoU of 0.3 on, and all of them if several are best."""
    assert one_object([(0, 0, 10, 5), (0, 5, 10, 10), (0, 0, 10, 4), (0, 0, 10, 1)])[:2] == (
        [True, True, False, False],
        [False, False, False, True],
    )
    assert one_object([(0, 0, 10, 3), (0, 0, 10, 2)])[:2] == ([True, False], [False, True])
    assert one_object([(0, 0, 10, 2.9), (0, 0, 10, 2)])[:2] == ([False, False], [True, True])


def test_best_anchor_of_one_object_keeps_the_object_it_overlaps_most():
    """As in torchvision: the best anchor of the small object is matched to the large one, which it overlaps more."""
    anchors = np.array([(0, 0, 10, 10), (0, 0, 10, 11)], "float32")
    boxes = np.array([[(0, 0, 10, 10), (0, 0, 10, 4)]], "float32")
    positive, _, index = call(match_anchors, anchors, boxes, np.array([[True, True]]))
    assert positive.tolist() == [[True, True]] and index.tolist() == [[0, 0]]


def test_kerashubs_matcher_differs_as_the_docstring_says():
    """With padding, its first anchor becomes positive, and of two equally good anchors only one does."""
    keras_hub = pytest.importorskip("keras_hub")
    matcher = keras_hub.layers.BoxMatcher([0.3, 0.7], [-1, -2, 1], force_match_for_each_col=True)
    anchors = np.array([(50, 50, 60, 60), (0, 0, 10, 5), (0, 5, 10, 10)], "float32")
    boxes = np.array([(0, 0, 10, 10), (-1, -1, -1, -1)], "float32")
    theirs = ops.convert_to_numpy(matcher(overlaps(anchors, boxes, [True, False]).astype("float32"))[1]) == 1
    assert theirs.tolist() == [True, True, False]
    assert one_object(anchors)[0] == [False, True, True]


def test_proposals_have_no_best_of_an_object():
    proposals = np.array([[(0, 0, 10, 5), (0, 0, 10, 4.9)]], "float32")
    boxes, is_object = np.array([[(0, 0, 10, 10)]], "float32"), np.array([[True]])
    positive, negative, _ = call(match_proposals, proposals, boxes, is_object)
    assert positive.tolist() == [[True, False]] and negative.tolist() == [[False, True]]


@pytest.mark.parametrize("padding", [-1.0, 0.0])
def test_images_without_objects(padding):
    """Everything is negative, whatever the padding contains; indices stay in range."""
    anchors = np.array([(0, 0, 10, 10), (-1, -1, 1, 1), (padding,) * 4], "float32")
    boxes, is_object = np.full((2, 3, 4), padding, "float32"), np.zeros((2, 3), bool)
    boxes[0, 0] = (0, 0, 10, 10)  # matches the first anchor, but is padding
    for triple in (
        call(match_anchors, anchors, boxes, is_object),
        call(match_proposals, np.stack([anchors] * 2), boxes, is_object),
    ):
        positive, negative, index = triple
        assert not positive.any() and negative.all()
        assert ((index >= 0) & (index < 3)).all()
