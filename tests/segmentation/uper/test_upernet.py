"""UperNet over MambaOut: losses, training and predictions are the same on every backend, whatever the images."""

import keras
import numpy as np
import pytest
import seeded
from keras import ops
from small_segmenter import create

from keras_mambaout import MambaOutBackbone
from keras_mambaout.layers.common import TruncatedNormal
from keras_mambaout.models import count_macs
from keras_mambaout.models.saved import load_model
from keras_mambaout.segmentation import UperNet, upernet
from keras_mambaout.segmentation.uper.conv_norm_relu import ConvNormReLU

STEPS = 20
# Of the first step, from weights that NumPy draws; PyTorch computed them.
FIRST = {"class_loss": 1.382646, "auxiliary_loss": 1.388278, "accuracy": 0.3191964}


@pytest.fixture(scope="module")
def scene():
    """Two pictures in which the red of a pixel decides its class, with a strip that does not count."""
    photo = seeded.photo(64, 96)
    images = np.stack([photo, 255 - photo[::-1, ::-1]])
    labels = (images[..., 0] // 64).astype("int32")
    labels[:, :8] = 255
    return images.astype("float32"), labels


@pytest.fixture(scope="module")
def trained(scene):
    """A model after twenty steps, the logs of each step, and the weights before."""
    model = create()
    before = [variable.numpy() for variable in model.trainable_variables]
    metric = keras.metrics.MeanIoU(4, ignore_class=255, sparse_y_pred=False, name="iou")
    model.compile(keras.optimizers.AdamW(3e-3), metrics=[metric])
    logs = []
    for _ in range(STEPS):
        logs.append({key: float(value) for key, value in model.train_on_batch(*scene, return_dict=True).items()})
        model.reset_metrics()
    return model, logs, before


def test_first_losses_are_those_of_every_backend(trained):
    _, logs, _ = trained
    for name, value in FIRST.items():
        assert logs[0][name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert logs[0]["loss"] == pytest.approx(logs[0]["class_loss"] + 0.4 * logs[0]["auxiliary_loss"], rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always compiles with XLA, PyTorch never")
@pytest.mark.exhaustive
def test_xla_gives_the_same_losses(scene):
    model = create()
    model.compile("sgd", jit_compile=True)
    losses = model.train_on_batch(*scene, return_dict=True)
    assert {name: losses[name] for name in FIRST} == pytest.approx(FIRST, rel=1e-3)


def test_losses_fall_and_accuracy_rises(trained):
    _, logs, _ = trained
    for name, sign in (("loss", 1), ("class_loss", 1), ("auxiliary_loss", 1), ("accuracy", -1)):
        values = sign * np.array([log[name] for log in logs])
        assert np.isfinite(values).all() and np.mean(values[-5:]) < np.mean(values[:5]), (name, values)


def test_every_weight_learns(trained):
    model, _, before = trained
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert (old != new.numpy()).any(), new.path


@pytest.mark.first_on("torch")
def test_evaluation_has_no_auxiliary_loss(trained, scene):
    model, _, _ = trained
    images, labels = scene
    logs = model.evaluate(images, labels, batch_size=2, verbose=0, return_dict=True)
    logits = model.predict(images, verbose=0).astype("float64")
    assert logits.shape == (2, 64, 96, 4)
    counted = labels != 255
    own = np.take_along_axis(logits, np.where(counted, labels, 0)[..., None], -1)[..., 0]
    loss = (np.log(np.exp(logits).sum(-1)) - own)[counted].mean()
    assert logs["loss"] == pytest.approx(loss, rel=1e-4) and logs["class_loss"] == logs["loss"]
    assert logs["auxiliary_loss"] == 0.0
    assert logs["accuracy"] == pytest.approx((logits.argmax(-1) == labels)[counted].mean(), abs=1e-6)


def test_kerass_metrics_can_be_compiled(trained):
    _, logs, _ = trained
    assert 0.0 < logs[0]["iou"] < logs[-1]["iou"] < 1.0


def test_in_training_both_logits_come_out(trained, scene):
    model, _, _ = trained
    outputs = model.compute_output_spec(keras.KerasTensor(scene[0].shape), training=True)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "logits": (2, 64, 96, 4),
        "auxiliary": (2, 64, 96, 4),
    }


def test_saved_model_is_the_same(trained, scene, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert isinstance(loaded, UperNet) and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.predict(scene[0], verbose=0), model.predict(scene[0], verbose=0))


@pytest.mark.parametrize(
    "size", [(33, 47), *(pytest.param(size, marks=pytest.mark.first_on("torch")) for size in [(1, 1), (32, 500)])]
)
def test_images_of_any_size(trained, size):
    model, _, _ = trained
    images = np.random.RandomState(0).uniform(0, 255, (1, *size, 3)).astype("float32")
    logits = model.predict_on_batch(images)
    assert logits.shape == (1, *size, 4) and np.isfinite(logits).all()
    if keras.backend.backend() == "tensorflow":  # there sizes were unknown, now they are known
        np.testing.assert_allclose(logits, model(images, training=False), atol=1e-4)


@pytest.mark.first_on("torch")
def test_what_the_backbone_pads_is_cut_off():
    """Padded with the mean colour, images give the same logits as when the backbone pads them."""
    padding = create(MambaOutBackbone("mambaout_test", output_norms=True, pad_to_multiple=32))
    plain = create(MambaOutBackbone("mambaout_test", output_norms=True))
    plain.set_weights(padding.get_weights())
    image = np.random.RandomState(0).uniform(0, 255, (1, 40, 50, 3)).astype("float32")
    larger = np.broadcast_to(np.float32((123.675, 116.28, 103.53)), (1, 64, 64, 3)).copy()
    larger[:, :40, :50] = image
    expected = ops.convert_to_numpy(plain(larger))[:, :40, :50]
    np.testing.assert_allclose(ops.convert_to_numpy(padding(image)), expected, atol=1e-4)


@pytest.mark.first_on("torch")
def test_mixed_precision_gives_float32_logits(scene):
    model = create(dtype="mixed_bfloat16")
    model.compile("sgd")
    logs = model.train_on_batch(*scene, return_dict=True)
    assert np.isfinite(logs["loss"])
    assert model.compute_output_spec(keras.KerasTensor(scene[0].shape)).dtype == "float32"


def test_labels_are_checked(trained, scene):
    model, _, _ = trained
    images, labels = scene
    wrong = labels.copy()
    wrong[0, 0, 0] = 4
    cases = (
        (wrong, r"classes from 0 to 3 with num_classes=4, or 255 .* got 4"),
        (labels.astype("float32"), r"integers \(B, H, W\).*got float32"),
        (labels[..., None], r"got int32 of shape \(2, 64, 96, 1\).*labels\[\.\.\., 0\]"),
        (labels[:, :32], r"as large as the images, \(64, 96\), got \(32, 96\)"),
    )
    for given, message in cases:
        for call in (model.train_on_batch, model.fit, model.evaluate):
            with pytest.raises(ValueError, match=message):
                call(images, given)


def test_labels_of_data_sets_are_checked(trained, scene):
    tf = pytest.importorskip("tensorflow")
    model, _, _ = trained
    images, labels = scene
    wrong = labels.copy()
    wrong[1, 2, 3] = 77
    with pytest.raises(ValueError, match="got 77"):
        model.evaluate(tf.data.Dataset.from_tensors((images, wrong)), verbose=0)
    with pytest.raises(ValueError, match="as large as the images"):
        model.fit(tf.data.Dataset.from_tensors((images, labels[:, :32])), verbose=0)
    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "`num_classes` must be an integer of 1 or more"),
        ({"channels": 1.5}, "`channels`"),
        ({"pool_scales": (1, 1)}, "`pool_scales` must be one or more distinct"),
        ({"auxiliary_weight": -1}, "`auxiliary_weight` must be a number of 0 or more"),
        ({"dropout_rate": 1.0}, "`dropout_rate`"),
        ({"ignore_index": None}, "`ignore_index` must be an integer"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        create(**arguments)


def test_backbones_are_checked():
    with pytest.raises(ValueError, match="output_norms=True"):
        upernet(MambaOutBackbone("mambaout_test"), 3)
    backbone = MambaOutBackbone("mambaout_test", output_norms=True, data_format="channels_first")
    with pytest.raises(ValueError, match="channels_last"):
        upernet(backbone, 3)


def test_norm_is_that_of_mmsegmentation():
    """In training with the statistics of the batch, otherwise with averages whose momentum is 0.9."""
    x = np.random.RandomState(0).standard_normal((2, 5, 6, 3)).astype("float32")
    layer = ConvNormReLU(4, 1)
    layer.build(x.shape)
    convolved = x @ layer.conv.kernel.numpy()[0, 0]
    mean, variance = convolved.mean((0, 1, 2)), convolved.var((0, 1, 2))
    trained = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(trained, np.maximum((convolved - mean) / np.sqrt(variance + 1e-5), 0), atol=1e-5)
    mean, variance = 0.1 * mean, 0.9 + 0.1 * variance
    plain = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(plain, np.maximum((convolved - mean) / np.sqrt(variance + 1e-5), 0), atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "millions", "drop_path_rate", "macs"),
    [
        ("mambaout_tiny", 54, 0.3, 938e9),
        pytest.param("mambaout_small", 76, 0.4, 1032e9, marks=pytest.mark.exhaustive),
        pytest.param("mambaout_base", 112, 0.6, 1178e9, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.first_on("torch")
def test_parameters_and_macs_are_the_papers(variant, millions, drop_path_rate, macs, monkeypatch):
    monkeypatch.setattr(TruncatedNormal, "__call__", lambda self, shape, dtype=None: ops.zeros(shape, dtype))
    model = upernet(variant, weights=None)
    assert round(model.count_params() / 1e6) == millions
    assert model.backbone.drop_path_rate == drop_path_rate
    assert count_macs(model, (1, 512, 2048, 3)) == pytest.approx(macs, rel=0.02)
    if variant == "mambaout_tiny":
        heads = [
            sum(int(np.prod(v.shape)) for v in head.trainable_weights) for head in (model.head, model.auxiliary_head)
        ]
        assert heads == [30_219_414, 923_798]
