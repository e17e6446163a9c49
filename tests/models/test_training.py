"""Training with `model.fit`: on real photos, in float32 and mixed precision, with stochastic depth."""

import keras
import numpy as np
import pytest

import keras_mambaout

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.fixture(scope="module")
def flowers(data_dir):
    """32 real photos of 4 kinds of flowers, 64 x 64, and their labels."""
    images, labels = [], []
    for label, folder in enumerate(sorted((data_dir / "flowers" / "train").iterdir())[:4]):
        for path in sorted(folder.glob("*.jpg"))[:8]:
            image = keras_mambaout.load_image(path)
            images.append(keras_mambaout.resize_and_center_crop(image, 64))
            labels.append(label)
    return np.stack(images), np.array(labels)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.first_on("torch"))])
@pytest.mark.first_on("tensorflow", "torch")
def test_overfits_real_photos(flowers, dtype):
    keras.utils.set_random_seed(1)
    images, labels = flowers
    model = keras_mambaout.create_model(
        "mambaout_test", weights=None, classes=4, input_shape=(64, 64, 3), drop_path_rate=0.1, dtype=dtype
    )
    model.compile(keras.optimizers.AdamW(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    first = model.evaluate(images, labels, verbose=0)[0]
    for _ in range(8):  # usually 2 or 3 rounds are enough
        model.fit(images, labels, batch_size=16, epochs=10, verbose=0)
        loss, accuracy = model.evaluate(images, labels, verbose=0)
        if accuracy == 1.0:
            break
    assert accuracy == 1.0
    assert loss < first / 2
    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)
    assert all(variable.dtype == "float32" for variable in model.weights)


@pytest.mark.first_on("torch")
def test_float16_trains_with_loss_scaling(flowers):
    keras.utils.set_random_seed(1)
    images, labels = flowers
    model = keras_mambaout.create_model(
        "mambaout_test", weights=None, classes=4, input_shape=(64, 64, 3), dtype="mixed_float16"
    )
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(2e-3))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    losses = model.fit(images, labels, batch_size=16, epochs=6, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)


@pytest.mark.first_on("torch")
def test_seeded_runs_repeat(flowers):
    def losses():
        keras.utils.set_random_seed(7)
        model = keras_mambaout.create_model(
            "mambaout_test", weights=None, classes=4, input_shape=(64, 64, 3), drop_path_rate=0.3, dropout_rate=0.1
        )
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        return model.fit(*flowers, batch_size=16, epochs=1, verbose=0).history["loss"]

    np.testing.assert_allclose(losses(), losses(), rtol=1e-5)


def test_fine_tuning_a_backbone_in_your_own_model(flowers):
    """The recipe of every Keras tutorial: a new head on a frozen backbone, then everything."""
    images, labels = flowers
    backbone = keras_mambaout.create_model("mambaout_test", include_top=False, weights=None, pooling="avg")
    backbone.trainable = False
    inputs = keras.Input((64, 64, 3))
    outputs = keras.layers.Dense(4, activation="softmax")(backbone(inputs, training=False))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    before = [variable.numpy() for variable in backbone.weights]
    model.fit(images, labels, epochs=1, verbose=0)
    for variable, value in zip(backbone.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert len(model.trainable_variables) == 2
    backbone.trainable = True
    assert len(model.trainable_variables) == 2 + len(backbone.weights)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow traces graphs")
def test_the_train_step_is_traced_once():
    model = keras_mambaout.create_model("mambaout_test", weights=None, input_shape=(32, 32, 3))
    model.compile("adamw", "sparse_categorical_crossentropy")
    calls = []
    model.train_step = lambda data, step=model.train_step: calls.append(data) or step(data)
    for _ in range(2):
        model.train_on_batch(np.zeros((2, 32, 32, 3), "float32"), np.zeros(2, "int32"))
    assert len(calls) == 1
