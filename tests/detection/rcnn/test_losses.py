"""The losses of Mask R-CNN against their formulas, written as loops in float64."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_mambaout.compare.frameworks import value_and_gradients
from keras_mambaout.detection.rcnn.losses import box_losses, mask_loss, proposal_losses

BATCH, SAMPLES, CLASSES, SIDE = 2, 12, 5, 4


def binary_cross_entropy(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def cross_entropy(logits, label):
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[label]


def draws(seed=0, positives=(3, 5), valid=(10, 12)):
    """Random predictions and targets; positive samples come first, then negative ones, then rows without a sample."""
    random = np.random.RandomState(seed)
    normal = lambda *shape: random.standard_normal((BATCH, SAMPLES, *shape)).astype("float32")  # noqa: E731
    rank = np.arange(SAMPLES)
    return {
        "objectness": 3 * normal(),
        "proposal_deltas": normal(4),
        "logits": 2 * normal(CLASSES + 1),
        "deltas": normal(CLASSES, 4),
        "mask_logits": 2 * normal(SIDE, SIDE),
        "classes": random.randint(0, CLASSES, (BATCH, SAMPLES)).astype("int32"),
        "targets": normal(4),
        "masks": random.uniform(0, 1, (BATCH, SAMPLES, SIDE, SIDE)).astype("float32"),
        "is_positive": rank < np.array(positives)[:, None],
        "is_valid": rank < np.array(valid)[:, None],
    }


def proposal_losses_by_loops(x):
    objectness = box = 0.0
    for place in zip(*np.nonzero(x["is_valid"]), strict=True):
        positive = x["is_positive"][place]
        objectness += binary_cross_entropy(x["objectness"][place], float(positive))
        box += float(positive) * np.abs(x["proposal_deltas"][place] - x["targets"][place]).sum()
    count = x["is_valid"].sum()
    return objectness / count, box / count


def box_losses_by_loops(x):
    classification = box = 0.0
    for place in zip(*np.nonzero(x["is_valid"]), strict=True):
        positive, class_ = x["is_positive"][place], x["classes"][place]
        classification += cross_entropy(x["logits"][place].astype("float64"), class_ if positive else CLASSES)
        box += float(positive) * np.abs(x["deltas"][place][class_] - x["targets"][place]).sum()
    count = x["is_valid"].sum()
    return classification / count, box / count


def mask_loss_by_loops(x):
    pixels = []
    for place in zip(*np.nonzero(x["is_positive"]), strict=True):
        pairs = zip(x["mask_logits"][place].flat, x["masks"][place].flat, strict=True)
        pixels += [binary_cross_entropy(*pair) for pair in pairs]
    return np.mean(pixels)


def arguments(x):
    """The arguments of the three functions, in their order."""
    x = {name: ops.convert_to_tensor(value) for name, value in x.items()}
    names = {
        proposal_losses: ("objectness", "proposal_deltas", "targets", "is_positive", "is_valid"),
        box_losses: ("logits", "deltas", "classes", "targets", "is_positive", "is_valid"),
        mask_loss: ("mask_logits", "masks", "is_positive"),
    }
    return {function: [x[name] for name in these] for function, these in names.items()}


def call(function, x):
    losses = function(*arguments(x)[function])
    losses = losses if isinstance(losses, tuple) else (losses,)
    assert all(tuple(loss.shape) == () and keras.backend.standardize_dtype(loss.dtype) == "float32" for loss in losses)
    return [float(ops.convert_to_numpy(loss)) for loss in losses]


@pytest.mark.parametrize("seed", range(3))
def test_formulas(seed):
    x = draws(seed)
    np.testing.assert_allclose(call(proposal_losses, x), proposal_losses_by_loops(x), rtol=1e-5)
    np.testing.assert_allclose(call(box_losses, x), box_losses_by_loops(x), rtol=1e-5)
    np.testing.assert_allclose(call(mask_loss, x), [mask_loss_by_loops(x)], rtol=1e-5)


def test_samples_are_counted_over_the_batch():
    """An image counts by its number of samples, not as one image; masks of 0 and 1 work too."""
    x = draws(4, positives=(1, 7), valid=(2, 12))
    x["masks"] = np.round(x["masks"])
    np.testing.assert_allclose(call(proposal_losses, x), proposal_losses_by_loops(x), rtol=1e-5)
    np.testing.assert_allclose(call(box_losses, x), box_losses_by_loops(x), rtol=1e-5)
    np.testing.assert_allclose(call(mask_loss, x), [mask_loss_by_loops(x)], rtol=1e-5)


def test_what_is_not_sampled_does_not_matter():
    """Nor do the targets and classes of negative samples, whatever they are: -1, infinity, NaN."""
    x = draws()
    expected = [call(function, x) for function in (proposal_losses, box_losses, mask_loss)]
    negative, unused = ~x["is_positive"], ~x["is_valid"]
    for name in ("objectness", "logits"):
        x[name][unused] = 1e4
    for name in ("proposal_deltas", "deltas", "mask_logits"):
        x[name][negative] = 1e4
    x["classes"][negative] = -1
    x["targets"][negative] = np.nan
    x["masks"][negative] = np.inf
    for function, losses in zip((proposal_losses, box_losses, mask_loss), expected, strict=True):
        np.testing.assert_allclose(call(function, x), losses, rtol=1e-6)


def test_images_without_objects():
    """Only negative samples: the class losses are finite, those of boxes and masks are 0."""
    x = draws(positives=(0, 0))
    x["classes"][:] = -1
    objectness, proposal_box = call(proposal_losses, x)
    classification, box = call(box_losses, x)
    np.testing.assert_allclose(
        [objectness, classification], [proposal_losses_by_loops(x)[0], box_losses_by_loops(x)[0]], rtol=1e-5
    )
    assert proposal_box == box == call(mask_loss, x)[0] == 0.0


def test_no_samples_at_all():
    x = draws(positives=(0, 0), valid=(0, 0))
    for function in (proposal_losses, box_losses, mask_loss):
        assert call(function, x) == [0.0] * (1 if function is mask_loss else 2)


def test_large_logits_stay_finite():
    x = draws()
    for name in ("objectness", "logits", "mask_logits"):
        x[name] *= 1e4
    losses = [loss for function in (proposal_losses, box_losses, mask_loss) for loss in call(function, x)]
    assert np.isfinite(losses).all() and min(losses) >= 0


class Predictions(keras.layers.Layer):
    """Weights that take the place of a head's predictions."""

    def __init__(self, values):
        super().__init__()
        self.predictions = [self.add_weight(shape=value.shape, initializer="zeros") for value in values]
        for variable, value in zip(self.predictions, values, strict=True):
            variable.assign(value)
        self.built = True

    def call(self, x, training=False):
        return [ops.convert_to_tensor(variable) for variable in self.predictions]


@pytest.mark.parametrize("positives", [(3, 5), (0, 0)])
@pytest.mark.parametrize(
    ("function", "names"),
    [
        (proposal_losses, ("objectness", "proposal_deltas")),
        (box_losses, ("logits", "deltas")),
        (mask_loss, ("mask_logits",)),
    ],
)
def test_gradients_are_finite_and_of_the_samples_alone(function, names, positives):
    x = draws(positives=positives)
    negative, unused = ~x["is_positive"], ~x["is_valid"]
    x["targets"][negative] = 1e6
    x["classes"][negative] = -1
    layer = Predictions([x[name] for name in names])
    rest = arguments(x)[function][len(names) :]

    def total(predictions):
        losses = function(*predictions, *rest)
        return sum(losses) if isinstance(losses, tuple) else losses

    _, gradients = value_and_gradients(layer, ops.ones((1,)), total)
    for name, variable in zip(names, layer.predictions, strict=True):
        gradient = gradients[variable.path]
        assert np.isfinite(gradient).all()
        used = ~unused if name in ("objectness", "logits") else ~negative
        assert not gradient[~used].any()
        assert (np.abs(gradient).reshape(BATCH, SAMPLES, -1).max(-1) > 0)[used].all()
