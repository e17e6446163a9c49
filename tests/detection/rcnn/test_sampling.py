"""Sampling a fixed number of candidates: the hash, the counts, and what is drawn."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.detection.rcnn.sampling import draw_priorities, sample

STORED = [[11562304, 680372, 8293241], [13448908, 10905935, 14272840]]


def murmur(count, seed):
    """The hash in unsigned 32-bit integers, one number after the other."""
    numbers = []
    for position in range(count):
        number = position * 0x9E3779B9 % 2**32
        for part in seed:
            number ^= part % 2**32
            number = (number ^ number >> 16) * 0x85EBCA6B % 2**32
            number = (number ^ number >> 13) * 0xC2B2AE35 % 2**32
            number ^= number >> 16
        numbers.append((number & 0xFFFFFF) / 2**24)
    return np.array(numbers, "float32")


def draw(shape, seed, image_ids=None):
    image_ids = None if image_ids is None else ops.convert_to_tensor(np.array(image_ids, "int32"))
    return ops.convert_to_numpy(draw_priorities(shape, ops.convert_to_tensor(np.array(seed)), image_ids))


def call(positive, negative, count, fraction, priorities):
    tensors = (ops.convert_to_tensor(x) for x in (positive, negative))
    drawn = sample(*tensors, count, fraction, ops.convert_to_tensor(np.asarray(priorities, "float32")))
    return tuple(ops.convert_to_numpy(x) for x in drawn)


def candidates(batch, positives, negatives, others=50, seed=0):
    """Booleans `(B, positives + negatives + others)` in random order, and priorities without ties."""
    random = np.random.RandomState(seed)
    kinds = np.repeat([0, 1, 2], [positives, negatives, others])
    kinds = np.stack([random.permutation(kinds) for _ in range(batch)])
    priorities = np.stack([random.permutation(kinds.shape[1]) for _ in range(batch)]) / kinds.shape[1]
    return kinds == 0, kinds == 1, priorities


@pytest.mark.parametrize("seed", [(0, 0), (1, 2), (123456789, 2**31 - 1), (-5, 77)])
def test_priorities_are_the_same_on_every_backend(seed):
    drawn = draw((2, 3, 700), np.array(seed, "int32"))
    assert drawn.dtype == "float32" and drawn.shape == (2, 3, 700)
    np.testing.assert_array_equal(drawn.reshape(-1), murmur(4200, seed))


def test_stored_priorities():
    """Some numbers of seed (1337, 42), so that the hash and its copy in this file cannot change together."""
    np.testing.assert_array_equal(np.round(draw((2, 3), np.array([1337, 42], "int32")) * 2**24), STORED)


def test_priorities_take_keras_seeds():
    """`SeedGenerator.next()` has a different integer type on every backend; each call gives different numbers."""
    generator = keras.random.SeedGenerator(3)
    first, second = (ops.convert_to_numpy(draw_priorities((4, 500), generator.next())) for _ in range(2))
    assert (first != second).mean() > 0.99
    large = np.array([2**32 - 5, 2**31 + 7], "uint32")  # counts as the same 32 bits
    np.testing.assert_array_equal(draw((300,), large), murmur(300, [int(part) for part in large]))


def test_priorities_belong_to_images():
    """Those of an image are the same in any row of any batch, and differ from those of other images and seeds."""
    whole, part = draw((3, 500), [3, 4], [90, 7, 581929]), draw((1, 500), [3, 4], [581929])
    np.testing.assert_array_equal(part[0], whole[2])
    assert np.mean(whole[0] == whole[1]) < 0.01 and np.mean(whole == draw((3, 500), [3, 5], [90, 7, 581929])) < 0.01


@pytest.mark.parametrize("image_ids", [None, np.arange(1000, 1020)])
def test_priorities_are_spread_evenly(image_ids):
    drawn = draw((20, 5000), np.array([0, 1], "int32"), image_ids)
    assert drawn.min() >= 0 and drawn.max() < 1
    counts, _ = np.histogram(drawn, bins=100, range=(0, 1))
    assert np.abs(counts - 1000).max() < 5 * 1000**0.5  # five standard deviations
    assert len(np.unique(drawn)) > 0.99 * drawn.size
    assert np.abs(np.corrcoef(drawn)[~np.eye(20, dtype=bool)]).max() < 0.1  # images among each other
    other = draw((20, 5000), np.array([0, 2], "int32"), image_ids)
    assert abs(np.corrcoef(drawn.reshape(-1), other.reshape(-1))[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("count", "fraction", "positives", "negatives", "drawn_positives", "drawn_negatives"),
    [
        (512, 0.25, 300, 1000, 128, 384),
        (256, 0.5, 300, 1000, 128, 128),
        (256, 0.5, 30, 1000, 30, 226),  # fewer positives than allowed: negatives fill up
        (512, 0.25, 0, 600, 0, 512),
        (512, 0.25, 300, 0, 128, 0),  # positives do not fill up
        (256, 0.5, 7, 60, 7, 60),  # fewer candidates than count
        (256, 0.5, 200, 60, 128, 60),
        (256, 0.5, 0, 0, 0, 0),
    ],
)
def test_counts_and_order(count, fraction, positives, negatives, drawn_positives, drawn_negatives):
    positive, negative, priorities = candidates(2, positives, negatives)
    indices, is_positive, is_valid = call(positive, negative, count, fraction, priorities)
    assert indices.shape == is_positive.shape == is_valid.shape == (2, count)
    assert ((indices >= 0) & (indices < positive.shape[1])).all()  # also where nothing is drawn
    for image in range(2):
        drawn = drawn_positives + drawn_negatives
        np.testing.assert_array_equal(is_positive[image], np.arange(count) < drawn_positives)
        np.testing.assert_array_equal(is_valid[image], np.arange(count) < drawn)
        rows = indices[image]
        assert positive[image, rows[:drawn_positives]].all() and negative[image, rows[drawn_positives:drawn]].all()
        assert len(set(rows[:drawn].tolist())) == drawn


def test_highest_priorities_are_drawn():
    positive, negative, priorities = candidates(3, 40, 200)
    indices, is_positive, is_valid = call(positive, negative, 64, 0.25, priorities)
    for image in range(3):
        for flags, chosen, number in (
            (positive[image], is_positive[image], 16),
            (negative[image], is_valid[image] & ~is_positive[image], 48),
        ):
            ranked = sorted(np.flatnonzero(flags), key=lambda row: -priorities[image, row])
            assert set(indices[image][chosen]) == set(ranked[:number])


def test_images_differ_in_number():
    """One image with many positive candidates, one with few, one without any candidate."""
    positive, negative = np.zeros((2, 3, 20), bool)
    positive[0, :10], negative[0, 10:] = True, True
    positive[1, 4], negative[1, 5:8] = True, True
    indices, is_positive, is_valid = call(positive, negative, 8, 0.5, draw((3, 20), np.array([1, 1], "int32")))
    assert is_positive.sum(axis=1).tolist() == [4, 1, 0] and is_valid.sum(axis=1).tolist() == [8, 4, 0]
    assert indices[1, 0] == 4 and set(indices[1, 1:4]) == {5, 6, 7}


def test_priorities_of_zero_are_drawn_too():
    positive, negative = np.array([[True, False, False]]), np.array([[False, True, False]])
    indices, is_positive, is_valid = call(positive, negative, 4, 0.5, np.zeros((1, 3)))
    assert indices[0, :2].tolist() == [0, 1]
    assert is_positive.tolist() == [[True, False, False, False]]
    assert is_valid.tolist() == [[True, True, False, False]]


def test_each_candidate_is_drawn_as_often():
    """Of 8 positives and 24 negatives, 4 and 12 are drawn: each one in half of 400 draws."""
    positive, negative, _ = candidates(400, 8, 24, others=0)
    positive, negative = np.sort(positive)[:, ::-1], np.sort(negative)
    indices, _, _ = call(positive.copy(), negative, 16, 0.25, draw((400, 32), np.array([7, 8], "int32")))
    often = np.bincount(indices.reshape(-1), minlength=32)
    assert np.abs(often - 200).max() < 50  # five standard deviations


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has tensors of unknown sizes")
@pytest.mark.parametrize(("positives", "negatives"), [(30, 400), (3, 5), (0, 0)])
def test_unknown_number_of_candidates(positives, negatives):
    tf = pytest.importorskip("tensorflow")
    positive, negative, priorities = candidates(2, positives, negatives)
    spec = tf.TensorSpec((None, None))
    function = tf.function(lambda *args: sample(args[0] > 0, args[1] > 0, 64, 0.25, args[2]), [spec] * 3)
    indices, is_positive, is_valid = (
        x.numpy() for x in function(*(x.astype("float32") for x in (positive, negative, priorities)))
    )
    expected = call(positive, negative, 64, 0.25, priorities)
    np.testing.assert_array_equal(is_positive, expected[1])
    np.testing.assert_array_equal(is_valid, expected[2])
    np.testing.assert_array_equal(indices[is_valid], expected[0][is_valid])
    assert ((indices >= 0) & (indices < positive.shape[1])).all()
