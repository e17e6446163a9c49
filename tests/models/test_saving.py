"""Saved models come back whole: architecture, weights, optimizer and random state."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from paths import ROOT
from small_model import create, predict, tiny

import keras_mambaout


class TestSaving:
    @pytest.mark.parametrize(
        "kwargs",
        [
            {"drop_path_rate": 0.1, "dropout_rate": 0.2, "classes": 7},
            {"include_top": False, "pooling": "avg", "input_shape": (64, 96, 3)},
            {"include_preprocessing": False, "classifier_activation": None, "name": "mine"},
            {"dtype": "mixed_bfloat16"},
        ],
    )
    def test_keras_file_and_config(self, kwargs, images, tmp_path):
        model = create(**kwargs)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        rebuilt = type(model).from_config(model.get_config())
        rebuilt.set_weights(model.get_weights())
        expected = ops.cast(model(images, training=False), "float32")
        for other in (loaded, rebuilt):
            assert other.get_config() == model.get_config() and other.name == model.name
            output = ops.cast(other(images, training=False), "float32")
            np.testing.assert_array_equal(ops.convert_to_numpy(output), ops.convert_to_numpy(expected))

    def test_every_constructor_argument_is_in_the_config(self):
        for model in (create(), create(include_top=False)):
            of_this_object = {"self", "kwargs", "rematerialize"}
            arguments = set(inspect.signature(type(model).__init__).parameters) - of_this_object
            assert arguments <= set(model.get_config())

    @pytest.mark.first_on("tensorflow", "torch")
    def test_custom_config(self, tmp_path):
        config = keras_mambaout.MambaOutConfig(depths=(1, 2, 1, 1), dims=(8, 16, 16, 8), kernel_size=3)
        backbone = keras_mambaout.MambaOutBackbone(config, input_shape=(32, 32, 1), output_norms=True)
        model = keras_mambaout.MambaOutClassifier(backbone, classes=10)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.config == config and loaded.backbone.pyramid_outputs["P3"].shape == (None, 4, 4, 16)
        x = np.random.RandomState(0).random_sample((1, 32, 32, 1))
        np.testing.assert_array_equal(predict(loaded, x), predict(model, x))

    def test_compiled_model_goes_on_training(self, images, tmp_path):
        images = images[:, :32, :32]
        model = tiny(classes=2)
        model.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(images, np.array([0, 1]), epochs=1, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert int(loaded.optimizer.iterations) == 1
        one = model.fit(images, np.array([0, 1]), epochs=1, verbose=0).history["loss"]
        other = loaded.fit(images, np.array([0, 1]), epochs=1, verbose=0).history["loss"]
        np.testing.assert_allclose(one, other, rtol=1e-5)  # weights and optimizer; Keras saves no random state


def test_optimizers_are_named_by_their_public_module():
    """Inside of others too; and what was saved with the name of a module that needs PyTorch is read."""
    model = tiny(classes=2)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(2e-3)), "mse")
    config = model.get_compile_config()
    inner = config["optimizer"]["config"]["inner_optimizer"]
    assert (inner["module"], inner["class_name"], inner["registered_name"]) == ("keras.optimizers", "AdamW", None)
    inner |= {"module": "keras.src.backend.other.optimizers.other_adamw", "registered_name": "AdamW"}
    model.compile_from_config(config)
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.AdamW)
    assert float(model.optimizer.inner_optimizer.learning_rate) == pytest.approx(2e-3)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="JAX always compiles, TensorFlow where it is asked to")
def test_pytorch_does_not_compile():
    """Asked for, it says so; asked for by a model that was saved on another backend, it loads."""
    model = tiny(classes=2)
    with pytest.raises(ValueError, match="jit_compile=True"):
        model.compile("sgd", "mse", jit_compile=True)
    model.compile("sgd", "mse")
    model.compile_from_config({**model.get_compile_config(), "jit_compile": True})
    assert model.jit_compile is False


def test_a_checkpoint_made_before_the_kernels_loads():
    """`tests/fixtures/make_old_checkpoint.py` made it with Keras' own LayerNormalization, convolutions and blocks."""
    model = keras.models.load_model(ROOT / "tests" / "fixtures" / "checkpoint_0.1.0a.keras")
    with np.load(ROOT / "tests" / "fixtures" / "checkpoint_0.1.0a.npz") as expected:
        outputs = model.predict(expected["images"], verbose=0)
        assert list(outputs) == ["P2", "P3", "P4", "P5"]
        for level, output in outputs.items():
            np.testing.assert_allclose(output, expected[level], rtol=1e-4, atol=1e-5)
