"""Batches of one group: how many each group gets, and in which order samples come."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mambaout.data.grouping import in_groups, share_out

pytestmark = pytest.mark.no_backend


def test_each_group_has_its_share_rounded_up_or_down():
    counts, steps = np.array([100, 0, 3, 45]), 148 // 16
    shares = steps * counts / counts.sum()
    drawn = np.array([share_out(counts, steps, np.random.default_rng(seed)) for seed in range(4000)])
    assert (drawn.sum(1) == steps).all()
    assert (drawn >= np.floor(shares)).all() and (drawn <= np.ceil(shares)).all()
    assert set(drawn[:, 2].tolist()) == {0, 1} and not drawn[:, 1].any()
    np.testing.assert_allclose(drawn.mean(0), shares, atol=0.03)  # three times 0.5 / sqrt(4000)


def order(samples, batches, batch_size):
    """Returns the group and the number of each sample; groups are the last digits."""
    dataset = tf.data.Dataset.from_tensor_slices(np.array(samples))
    grouped = in_groups(dataset, lambda sample: sample % 10, tf.constant(batches, tf.int64), batch_size)
    return [tuple(map(int, pair)) for pair in grouped.as_numpy_iterator()]


def test_a_batch_comes_when_it_is_full():
    found = order([10, 11, 20, 30, 21, 31], [1, 1], 2)
    assert found == [(0, 10), (0, 20), (1, 11), (1, 21)], "the third of each fills no batch"


def test_the_first_of_a_group_come_again_where_it_has_too_few():
    assert [sample for _, sample in order([10, 11, 20, 21, 31], [1, 1], 3)] == [11, 21, 31, 10, 20, 10]
    assert [sample for _, sample in order([10, 11, 20], [0, 1], 3)] == [11, 11, 11]


def test_records_keep_their_parts():
    """As those of TensorFlow Datasets, which are tuples."""
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(4), np.array(["a", "b", "c", "d"])))
    grouped = in_groups(dataset, lambda sample: sample[0] % 2, tf.constant([1, 1], tf.int64), 2)
    assert [(int(group), int(row), text.decode()) for group, (row, text) in grouped.as_numpy_iterator()] == [
        (0, 0, "a"),
        (0, 2, "c"),
        (1, 1, "b"),
        (1, 3, "d"),
    ]
