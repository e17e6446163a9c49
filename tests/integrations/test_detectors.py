"""KerasCV's and KerasHub's detectors over MambaOut, on COCO photos: fit, predict, save, load, any size, any labels."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from detectors import CASES, CLASSES
from keras import ops

from keras_mambaout.config import VARIANTS
from keras_mambaout.detection import CocoDataset
from keras_mambaout.layers.pad_to_multiple import pad_to_multiple
from keras_mambaout.models.saved import load_model

SIZE, ODD_SIZE = 128, (61, 133)


@pytest.fixture(scope="module")
def coco(data_dir):
    folder = data_dir / "instances" / "coco128_train2017"
    return CocoDataset.from_json(folder / "instances_train2017.json", folder / "images")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.first_on("torch", *["tensorflow"] * (name == "keras_hub_retinanet")))
        for name in CASES
    ],
)
def trained(request, coco):
    """A case, its detector after two epochs, and the losses."""
    case = CASES[request.param]
    detector = case.compile(case.detector())
    photos = coco.subset(range(case.photos))
    batches = photos.batches(
        4, training=True, image_size=SIZE, max_boxes=50, bounding_box_format=case.bounding_box_format
    )
    history = detector.fit(batches.cache(), epochs=2, verbose=0).history  # the same pixels twice: only learning helps
    return case, detector, history


def numpy(tensors):
    return {key: ops.convert_to_numpy(value) for key, value in tensors.items()}


def photos(height, width, number=2):
    return np.random.RandomState(0).uniform(0, 255, (number, height, width, 3)).astype("float32")


def labels_in(bounding_box_format, height, width):
    """Two images: one with two objects, of which one is partly outside, and one without objects."""
    boxes = np.array([[[10, 5, 70, 45], [-30, 20, 50, 200], [-1, -1, -1, -1]], [[-1] * 4] * 3], "float32")
    classes = np.array([[0, 3, -1], [-1, -1, -1]], "float32")
    converted = keras.utils.bounding_boxes.convert_format(
        boxes, source="xyxy", target=bounding_box_format, height=height, width=width
    )
    return {"boxes": np.where(classes[..., None] < 0, -1, ops.convert_to_numpy(converted)), "classes": classes}


def test_loss_falls(trained):
    _, _, history = trained
    for name, values in history.items():
        assert np.isfinite(values).all(), name
    assert history["loss"][1] < history["loss"][0]


def test_detections(trained, coco):
    case, detector, _ = trained
    batches = coco.subset(range(6)).batches(4, image_size=SIZE, bounding_box_format=case.bounding_box_format)
    detector.prediction_decoder.confidence_threshold = 0.001
    detector.make_predict_function(force=True)
    detections = detector.predict(batches, verbose=0)
    assert set(detections) == {"boxes", "confidence", case.class_name, "num_detections"}
    assert detections["boxes"].shape == (6, 100, 4) and (detections["num_detections"] > 0).all()
    boxes, confidence, classes = (detections[key] for key in ("boxes", "confidence", case.class_name))
    found = np.arange(100) < detections["num_detections"][:, None]
    assert np.isfinite(boxes).all() and (np.diff(confidence, axis=1) <= 0).all()
    assert ((classes[found] >= 0) & (classes[found] < CLASSES)).all() and (confidence[found] > 0.001).all()
    for values in (boxes, confidence, classes):
        assert (values[~found] == -1).all()
    corners = keras.utils.bounding_boxes.convert_format(
        boxes[found], source=case.bounding_box_format, target="xyxy", height=SIZE, width=SIZE
    )
    left, top, right, bottom = ops.convert_to_numpy(corners).T
    assert (
        (left >= -1e-3).all()
        and (top >= -1e-3).all()
        and (right <= SIZE + 1e-3).all()
        and (bottom <= SIZE + 1e-3).all()
    )
    assert (right > left).all() and (bottom > top).all()


@pytest.mark.first_on("tensorflow", "torch")
def test_a_second_image_size(trained):
    """Keras on TensorFlow forgets sizes that change, and both libraries need them."""
    _, detector, _ = trained
    images = photos(*ODD_SIZE)
    expected = decoded(detector, images)
    detections = detector.predict(images, verbose=0)
    np.testing.assert_allclose(detections["confidence"], expected["confidence"], rtol=1e-3, atol=1e-5)


def decoded(detector, images):
    images = ops.convert_to_tensor(images)
    return numpy(detector.decode_predictions(detector(images), images))


@pytest.mark.first_on("tensorflow", "torch")
def test_saved_detector_is_the_same(trained, tmp_path):
    _, detector, _ = trained
    images = photos(*ODD_SIZE)
    detector.save(tmp_path / "detector.keras")
    loaded = load_model(tmp_path / "detector.keras")
    assert type(loaded) is type(detector) and loaded.bounding_box_format == detector.bounding_box_format
    assert json.dumps(loaded.backbone.get_config()) == json.dumps(detector.backbone.get_config())
    got = decoded(loaded, images)
    for key, values in decoded(detector, images).items():
        np.testing.assert_array_equal(got[key], values, err_msg=key)


def test_any_size_is_that_of_the_padded_image(trained):
    """Zeros after the normalisation are ImageNet's mean colour before it."""
    _, detector, _ = trained
    size = ODD_SIZE
    images = photos(*size)
    padded = ops.convert_to_numpy(pad_to_multiple(images, detector.size_multiple))
    height, width = padded.shape[1:3]
    assert height % 32 == 0 and width % 32 == 0 and (height, width) != size
    padded[:, size[0] :] = padded[:, :, size[1] :] = (123.675, 116.28, 103.53)
    expected, got = numpy(detector(padded)), numpy(detector(images))
    for key, values in expected.items():
        np.testing.assert_allclose(got[key], values, rtol=1e-3, atol=1e-4, err_msg=key)

    detections = decoded(detector, images)
    corners = ops.convert_to_numpy(
        keras.utils.bounding_boxes.convert_format(
            detections["boxes"],
            source=detector.bounding_box_format,
            target="xyxy",
            height=size[0],
            width=size[1],
        )
    )[np.arange(100) < detections["num_detections"][:, None]]
    assert (corners[:, 2] <= size[1] + 1e-3).all() and (corners[:, 3] <= size[0] + 1e-3).all()


@pytest.mark.first_on("tensorflow", "torch")
def test_box_formats_mean_the_same(trained):
    """Loss and detections of a twin that works in a different format."""
    case, detector, _ = trained
    twin = case.compile(case.detector("xyxy"))
    twin.set_weights(detector.get_weights())
    twin.prediction_decoder.confidence_threshold = detector.prediction_decoder.confidence_threshold
    size = ODD_SIZE
    images = ops.convert_to_tensor(photos(*size))
    outputs = detector(images)
    losses = [
        float(model.compute_loss(x=images, y=labels_in(model.bounding_box_format, *size), y_pred=outputs))
        for model in (detector, twin)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] > 0

    detections, expected = (numpy(model.decode_predictions(outputs, images)) for model in (detector, twin))
    np.testing.assert_array_equal(detections["num_detections"], expected["num_detections"])
    boxes = keras.utils.bounding_boxes.convert_format(
        detections["boxes"], source=case.bounding_box_format, target="xyxy", height=size[0], width=size[1]
    )
    found = detections["confidence"] >= 0
    np.testing.assert_allclose(ops.convert_to_numpy(boxes)[found], expected["boxes"][found], atol=1e-2)


def test_what_is_no_object_changes_nothing(trained):
    """Padding, and boxes outside the image or without area, in one image or in the whole batch."""
    case, detector, _ = trained
    size = ODD_SIZE
    images = ops.convert_to_tensor(photos(*size))
    outputs = detector(images)

    def loss(labels):
        value = float(detector.compute_loss(x=images, y=labels, y_pred=outputs))
        assert np.isfinite(value)
        return value

    labels = labels_in(case.bounding_box_format, *size)
    expected = loss(labels)
    outside = np.array([[[300, 10, 340, 60]], [[20, 20, 20, 50]]], "float32")
    outside = keras.utils.bounding_boxes.convert_format(
        outside, source="xyxy", target=case.bounding_box_format, height=size[0], width=size[1]
    )
    more = {
        "boxes": np.concatenate([labels["boxes"], ops.convert_to_numpy(outside)], axis=1),
        "classes": np.concatenate([labels["classes"], [[1], [2]]], axis=1),
    }
    assert loss(more) == pytest.approx(expected, rel=1e-5)
    renamed = {"boxes": labels["boxes"], "labels": labels["classes"]}
    assert loss(renamed) == expected
    loss({"boxes": np.full((2, 3, 4), -1.0), "classes": np.full((2, 3), -1.0)})


def whole_batch(case, classes_added=0):
    """A batch of the size that `trained` was trained with, so that nothing is compiled again."""
    labels = labels_in(case.bounding_box_format, SIZE, SIZE)
    labels["classes"] += classes_added * (labels["classes"] == 3)
    pad = ((0, 0), (0, 50 - labels["classes"].shape[1]))
    labels = {
        "boxes": np.pad(labels["boxes"], (*pad, (0, 0)), constant_values=-1).astype("float32"),
        "classes": np.pad(labels["classes"], pad, constant_values=-1).astype("float32"),
    }
    return photos(SIZE, SIZE, 4), {key: np.concatenate([value, value]) for key, value in labels.items()}


@pytest.mark.parametrize(
    "trained",
    [pytest.param("keras_cv_retinanet", marks=pytest.mark.first_on("torch")), "keras_hub_retinanet"],
    indirect=True,
)
@pytest.mark.first_on("tensorflow", "torch")
def test_batch_methods(trained):
    case, detector, _ = trained
    images, labels = whole_batch(case)
    losses = [detector.train_on_batch(images, labels, return_dict=True)["loss"] for _ in range(3)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_wrong_class_is_told_and_nothing_is_lost(trained):
    case, detector, _ = trained
    images, labels = whole_batch(case, classes_added=CLASSES - 3)
    with pytest.raises(ValueError, match=r"from 0 to 79 .* got 80"):
        detector.fit(tf.data.Dataset.from_tensors((images, labels)), verbose=0)
    for call in (detector.train_on_batch, detector.fit, detector.evaluate):
        with pytest.raises(ValueError, match=r"from 0 to 79 .* got 80"):
            call(images, labels)
    assert all(np.isfinite(value).all() for value in detector.get_weights())


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["keras_cv_retinanet", "keras_hub_retinanet"])
def test_over_another_token_mixer(name, tmp_path):
    """A configuration in place of a name: one step, detections, and the same after loading."""
    case, config = CASES[name], VARIANTS["mambaout_test"].with_token_mixer("conv_ssm")
    detector = case.compile(case.detector(backbone=config, num_classes=4))
    backbone = getattr(detector.backbone, "image_encoder", detector.backbone)
    images, labels = photos(64, 64), labels_in(case.bounding_box_format, 64, 64)
    assert np.isfinite(detector.fit(images, labels, verbose=0).history["loss"]).all()
    for scan in backbone.get_layer("stages_0_blocks_0").ssm.models:
        assert scan.A_log.numpy().all()  # it begins with zeros: the smallest gradient shows
    assert np.isfinite(detector.predict(images, verbose=0)["boxes"]).all()
    detector.save(tmp_path / "detector.keras")
    loaded = load_model(tmp_path / "detector.keras")
    assert backbone.config == getattr(loaded.backbone, "image_encoder", loaded.backbone).config == config
    got = decoded(loaded, images)
    for key, values in decoded(detector, images).items():
        np.testing.assert_array_equal(got[key], values, err_msg=key)


def test_every_trained_weight_has_a_gradient(trained):
    """Of the output norms, only those of the levels that the head reads are trained."""
    _, detector, _ = trained
    backbone = getattr(detector.backbone, "image_encoder", detector.backbone)
    trainable = {name: backbone.get_layer(f"output_norms_{name}").trainable for name in range(4)}
    assert trainable == {0: False, 1: True, 2: True, 3: True}
    assert backbone.drop_path_rate == 0.0 and backbone.pad_to_multiple == detector.size_multiple
