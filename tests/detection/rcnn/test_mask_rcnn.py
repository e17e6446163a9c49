"""Mask R-CNN over MambaOut: losses, training and detections are the same on every backend, whatever the images."""

import keras
import numpy as np
import pytest
import tiny_tasks
from keras import ops

from keras_mambaout import MambaOutBackbone
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.detection.rcnn.model import LOSSES
from keras_mambaout.layers.common import TruncatedNormal
from keras_mambaout.models import count_macs
from keras_mambaout.models.saved import load_model

SIZE, STEPS = (96, 128), 30
# Of the first step, from weights that NumPy draws; PyTorch computed them.
FIRST = {
    "rpn_class_loss": 0.6636527,
    "rpn_box_loss": 0.02038258,
    "class_loss": 4.426374,
    "box_loss": 0.3849872,
    "mask_loss": 0.6932791,
}
SMALL = {"channels": 32, "proposals": 50, "box_samples": 32}


def create(**kwargs):
    """A model whose anchor scores differ by more than rounding errors, unlike those of a new model."""
    keras.utils.set_random_seed(0)
    model = mask_rcnn("mambaout_test", weights=None, **{"num_classes": 80, **SMALL, **kwargs})
    kernel = model.rpn_head.objectness.kernel
    kernel.assign(100 * ops.convert_to_tensor(kernel))
    return model


@pytest.fixture(scope="module")
def photos(coco128):
    """Inputs and labels of a batch of two photos, one with eight objects and one with one."""
    dataset = coco128.subset([coco128.image_ids.index(image_id) for image_id in (9, 25)])
    options = {"masks": True, "mask_size": 28, "sizes": True, "max_boxes": 10}
    inputs, labels = next(dataset.batches(2, image_size=SIZE, **options).as_numpy_iterator())
    return inputs, {key: labels[key] for key in ("boxes", "classes", "masks")}


@pytest.fixture(scope="module")
def trained(photos):
    """A model after thirty steps on two photos, the logs of each step, and the weights before."""
    model = create()
    before = [variable.numpy() for variable in model.trainable_variables]
    model.compile(keras.optimizers.AdamW(1e-3, global_clipnorm=10.0))
    logs = []
    for _ in range(STEPS):
        logs.append({key: float(value) for key, value in model.train_on_batch(*photos, return_dict=True).items()})
        model.reset_metrics()
    return model, logs, before


def test_first_losses_are_those_of_every_backend(trained):
    _, logs, _ = trained
    for name, value in FIRST.items():
        assert logs[0][name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert logs[0]["loss"] == pytest.approx(sum(logs[0][name] for name in LOSSES), rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always compiles with XLA, PyTorch never")
@pytest.mark.exhaustive
def test_xla_gives_the_same_losses(photos):
    model = create()
    model.compile("sgd", jit_compile=True)
    losses = model.train_on_batch(*photos, return_dict=True)
    assert {name: losses[name] for name in FIRST} == pytest.approx(FIRST, rel=1e-3)


def test_every_loss_falls(trained):
    _, logs, _ = trained
    for name in ("loss", *LOSSES):
        values = [log[name] for log in logs]
        assert np.isfinite(values).all() and np.mean(values[-5:]) < np.mean(values[:5]), (name, values)


def test_every_weight_learns(trained):
    model, _, before = trained
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert (old != new.numpy()).any(), new.path


def predict(model, *args):
    return {key: ops.convert_to_numpy(value) for key, value in model.predict_on_batch(*args).items()}


def test_predictions(trained, photos):
    model, _, _ = trained
    found = predict(model, photos[0])
    shapes = {key: value.shape for key, value in found.items()}
    assert shapes == {
        "boxes": (2, 100, 4),
        "confidence": (2, 100),
        "classes": (2, 100),
        "masks": (2, 100, 28, 28),
        "num_detections": (2,),
    }
    assert (found["num_detections"] > 0).all()
    for row, count in enumerate(found["num_detections"]):
        rest = slice(count, None)
        assert (found["boxes"][row, rest] == -1).all() and (found["classes"][row, rest] == -1).all()
        assert (found["confidence"][row, rest] == -1).all() and (found["masks"][row, rest] == 0).all()
        confidence, boxes = found["confidence"][row, :count], found["boxes"][row, :count]
        assert (confidence > 0.05).all() and (np.diff(confidence) <= 0).all()
        assert np.isin(found["classes"][row, :count], range(80)).all()
        height, width = photos[0]["sizes"][row]  # the padding has no objects
        assert (boxes >= 0).all() and (boxes[:, 2:] <= (width, height)).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert (found["masks"] >= 0).all() and (found["masks"] <= 1).all()


def test_saved_model_is_the_same(trained, photos, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    expected = predict(model, photos[0])
    for key, values in predict(loaded, photos[0]).items():
        np.testing.assert_array_equal(values, expected[key], err_msg=key)


@pytest.fixture(scope="module")
def tiny():
    """A model for images of any size; it finds little, since it is new."""
    model = create(num_classes=3, proposals=10, max_detections=5, box_samples=8, confidence_threshold=0.0)
    model.compile("sgd")
    return model


@pytest.mark.parametrize("size", [pytest.param((1, 1), marks=pytest.mark.first_on("tensorflow", "torch")), (32, 5000)])
def test_images_of_any_size(tiny, size):
    images = np.random.RandomState(0).uniform(0, 255, (1, *size, 3)).astype("float32")
    found = predict(tiny, images)
    assert all(np.isfinite(values).all() for values in found.values())
    boxes = found["boxes"][0, : found["num_detections"][0]]
    assert (boxes[:, 2:] <= size[::-1]).all()


@pytest.mark.first_on("torch")
def test_mixed_precision():
    """Sizes and boxes are not rounded: 513 does not exist in bfloat16."""
    model = create(
        num_classes=3, proposals=10, max_detections=5, box_samples=8, confidence_threshold=0.0, dtype="mixed_bfloat16"
    )
    seen = []
    model._second_stage = lambda first_stage, sizes: seen.append((first_stage["features"][0], sizes))
    model({"images": np.zeros((1, 32, 544, 3), "float32"), "sizes": np.array([[32.0, 513.0]], "float32")}, detect=True)
    ((feature, sizes),) = seen
    assert keras.backend.standardize_dtype(feature.dtype) == "bfloat16"
    assert ops.convert_to_numpy(sizes).tolist() == [[32, 513]]


def labels(boxes, classes, rows=4):
    """A batch of one image, padded."""
    missing = rows - len(boxes)
    return {
        "boxes": np.pad(np.reshape(boxes, (-1, 4)), ((0, missing), (0, 0)), constant_values=-1)[None].astype("float32"),
        "classes": np.pad(np.array(classes, "float32"), (0, missing), constant_values=-1)[None],
        "masks": np.ones((1, rows, 14, 14), "uint8"),
    }


def losses_of(model, images, given):
    model.reset_metrics()
    model.seeds.state.assign(keras.random.SeedGenerator(0).state)
    return {key: float(value) for key, value in model.test_on_batch(images, given, return_dict=True).items()}


def test_what_is_no_object_changes_nothing(tiny):
    """Padding, boxes without area and outside the image; and an image without objects."""
    images = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    one = losses_of(tiny, images, labels([[8, 8, 50, 40]], [1]))
    more = labels([[8, 8, 50, 40], [20, 20, 20, 50], [70, 10, 90, 60]], [1, 2, 0])
    assert losses_of(tiny, images, more) == pytest.approx(one, rel=1e-5)
    none = losses_of(tiny, images, labels([], []))
    assert all(np.isfinite(value) for value in none.values())
    assert none["rpn_box_loss"] == none["box_loss"] == none["mask_loss"] == 0.0
    assert none["rpn_class_loss"] > 0 and none["class_loss"] > 0


def test_labels_and_inputs_are_checked(tiny):
    images, good = np.zeros((1, 64, 64, 3), "float32"), labels([[8, 8, 50, 40]], [1])
    cases = (
        ({**good, "classes": np.array([[3.0, -1, -1, -1]])}, r"from 0 to 2 .* got 3"),
        ({key: good[key] for key in ("boxes", "classes")}, r"'masks' \(B, 4, M, M\).*got none.*mask_size=112"),
        ({**good, "masks": np.zeros((1, 4, 64, 32))}, r"in the frame of its box, got shape \(1, 4, 64, 32\)"),
    )
    for given, message in cases:
        for call in (tiny.train_on_batch, tiny.fit, tiny.evaluate):
            with pytest.raises(ValueError, match=message):
                call(images, given)
    with pytest.raises(ValueError, match=r"a dict of 'images' and 'sizes'.*got a dict of 'image'"):
        tiny({"image": images})


def test_arguments_are_checked():
    for arguments, message in (
        ({"num_classes": 0}, "`num_classes` must be an integer of 1 or more"),
        ({"confidence_threshold": 2}, "`confidence_threshold` must be a number from 0 to 1"),
        ({"box_samples": 3}, "`box_samples` must be 4 or more"),
        ({"channels": 1.5}, "`channels`"),
    ):
        with pytest.raises(ValueError, match=message):
            create(**arguments)
    with pytest.raises(ValueError, match="output_norms=True and pad_to_multiple=32"):
        mask_rcnn(MambaOutBackbone("mambaout_test"), 3)


@pytest.mark.parametrize(
    ("variant", "millions", "drop_path_rate", "macs"),
    [
        ("mambaout_tiny", 43, 0.3, 262e9),
        pytest.param("mambaout_small", 65, 0.4, 354e9, marks=pytest.mark.exhaustive),
        pytest.param("mambaout_base", 100, 0.6, 495e9, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.first_on("torch")
def test_parameters_and_macs_are_the_papers(variant, millions, drop_path_rate, macs, monkeypatch):
    monkeypatch.setattr(TruncatedNormal, "__call__", lambda self, shape, dtype=None: ops.zeros(shape, dtype))
    model = mask_rcnn(variant, 80, weights=None)
    assert round(model.count_params() / 1e6) == millions
    assert model.backbone.drop_path_rate == drop_path_rate
    sizes = [(1, -(-800 // stride), 1280 // stride, 256) for stride in (4, 8, 16, 32, 64)]
    parts = [
        count_macs(model.pyramid, (1, 800, 1280, 3)),
        count_macs(model.rpn_head, sizes),
        count_macs(model.box_head, (1, 1000, 7, 7, 256)),
        count_macs(model.mask_head, (1, 100, 14, 14, 256)),
    ]
    assert sum(parts) == pytest.approx(macs, rel=0.02)


@pytest.mark.first_on("torch")
def test_what_fills_up_a_batch_counts_nowhere():
    """Images without size and objects, as `CocoDataset.batches(full=True)` has them, change no loss."""
    model = tiny_tasks.compile(tiny_tasks.create("mask_rcnn"))
    images, labels = tiny_tasks.batch("mask_rcnn")
    inputs = {"images": images, "sizes": np.full((2, 2), tiny_tasks.SIZE, "int32")}
    labels = {**labels, "image_id": np.array([7, 5], "int32")}
    seeds, losses = model.seeds.state.numpy(), []
    for rows, filler in (([0, 1], []), ([0, 1, 1], [2]), ([1, 0, 1, 0], [1, 2])):
        x, y = (
            keras.tree.map_structure(lambda array, rows=rows: array[rows].copy(), part) for part in (inputs, labels)
        )
        x["sizes"][filler], y["boxes"][filler], y["classes"][filler] = 0, -1, -1
        model.seeds.state.assign(seeds)
        model.reset_metrics()
        losses.append(model.test_on_batch(x, y, return_dict=True))
    assert losses[0]["class_loss"] > 0 and losses[0]["mask_loss"] > 0
    assert losses[1:] == [pytest.approx(losses[0], rel=1e-5)] * 2
