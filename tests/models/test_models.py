"""Backbone, classifier and the models by name: shapes, arguments, precision."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from readme_table import function_name
from small_model import create, predict

import keras_mambaout
from keras_mambaout.config import VARIANTS
from keras_mambaout.models import factories
from keras_mambaout.weights import PUBLISHED, loader, pretrained

DIMS = VARIANTS["mambaout_test"].dims


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


class TestFactories:
    @pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "mambaout_test"])
    def test_each_variant_has_a_function_with_the_signature_of_keras_applications(self, variant):
        name = function_name(variant)
        factory = getattr(keras_mambaout, name)
        ours = inspect.signature(factory).parameters
        keras_own = inspect.signature(keras.applications.ConvNeXtTiny).parameters
        assert set(keras_own) <= set(ours)
        for parameter in set(keras_own) - {"name"}:
            assert ours[parameter].default == keras_own[parameter].default
        assert ours["name"].default == variant
        assert list(ours)[:8] == list(keras_own)[:8]
        assert factory.__name__ == name

    @pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "mambaout_test"])
    def test_each_function_is_create_model_with_the_numbers_of_the_table(self, variant, monkeypatch):
        factory = getattr(keras_mambaout, function_name(variant))
        parameters = list(inspect.signature(factory).parameters.values())
        others = list(inspect.signature(keras_mambaout.create_model).parameters.values())[1:]
        assert parameters == [p.replace(default=variant, annotation=str) if p.name == "name" else p for p in others]
        assert all(f"        {p.name}: " in keras_mambaout.create_model.__doc__ for p in others)
        depths, dims = (", ".join(map(str, sizes)) for sizes in (VARIANTS[variant].depths, VARIANTS[variant].dims))
        millions = VARIANTS[variant].count_parameters() / 1e6
        top1 = next(entry.top1 for entry in PUBLISHED.values() if entry.variant == variant)
        for fact in (
            f"Builds {variant}: {depths} blocks of {dims} channels.",
            f"{millions:.1f} million parameters; {top1:.1f} % top-1",
            "The arguments are those of `create_model`.",
        ):
            assert fact in factory.__doc__
        given = {p.name: p.name for p in parameters}
        monkeypatch.setattr(factories, "create_model", lambda variant, **arguments: (variant, arguments))
        assert factory(**given) == (variant, given)

    def test_defaults(self):
        model = keras_mambaout.MambaOutFemto(weights=None)
        assert isinstance(model, keras_mambaout.MambaOutClassifier)
        assert model.name == "mambaout_femto"
        assert model.input_shape == (None, None, None, 3) and model.output_shape == (None, 1000)

    @pytest.mark.parametrize("include_top", [True, False])
    def test_weights_are_looked_up_and_read_once(self, include_top, seeded_file, monkeypatch):
        calls = []
        for module, function in ((pretrained, "resolve_config"), (loader, "read_tensors")):
            original = getattr(module, function)
            monkeypatch.setattr(module, function, lambda x, f=function, o=original: calls.append(f) or o(x))
        create(seeded_file("mambaout_test"), include_top=include_top)
        assert calls == ["resolve_config", "read_tensors"]

    def test_list_models(self):
        assert keras_mambaout.list_models() == list(VARIANTS)
        assert keras_mambaout.list_models("*base*rw") == [
            "mambaout_base_short_rw",
            "mambaout_base_tall_rw",
            "mambaout_base_wide_rw",
            "mambaout_base_plus_rw",
        ]

    def test_layers_are_flat_and_named(self):
        names = [layer.name for layer in create().layers]
        assert names[:3] == ["images", "image_normalization", "stem"] and names[-2:] == ["head", "predictions"]
        assert "stages_2_blocks_2" in names


class TestShapes:
    @pytest.mark.parametrize(
        "size",
        [
            (32, 32),
            (33, 47),
            *(pytest.param(size, marks=pytest.mark.first_on("torch")) for size in [(64, 96), (225, 191)]),
        ],
    )
    def test_any_size_from_32(self, size):
        x = np.zeros((1, *size, 3), "float32")
        backbone = create(include_top=False)
        levels = keras.Model(backbone.input, backbone.pyramid_outputs)(x)
        assert predict(create(), x).shape == (1, 1000)
        for stage, level in enumerate(("P2", "P3", "P4", "P5")):
            expected = tuple(-(-n // 2 ** (stage + 2)) for n in size)
            assert tuple(levels[level].shape) == (1, *expected, DIMS[stage])

    def test_fixed_size_equals_any_size(self, images):
        one, other = create(input_shape=(64, 96, 3)), create()
        other.set_weights(one.get_weights())
        np.testing.assert_allclose(predict(one, images), predict(other, images), atol=1e-6)

    @pytest.mark.parametrize("channels", [1, 2, 5])
    def test_any_channels(self, channels):
        assert predict(create(input_shape=(32, 32, channels)), np.ones((1, 32, 32, channels))).shape == (1, 1000)

    @pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
    def test_pooling(self, images, pooling, reduce):
        plain, pooled = create(include_top=False), create(include_top=False, pooling=pooling)
        pooled.set_weights(plain.get_weights())
        features = predict(plain, images)
        assert features.shape == (2, 2, 3, DIMS[-1])
        np.testing.assert_allclose(predict(pooled, images), reduce(features, axis=(1, 2)), atol=1e-5)

    def test_integer_images(self, images):
        model = create()
        np.testing.assert_array_equal(
            model.predict(images.astype("uint8"), verbose=0), model.predict(images.astype("float32"), verbose=0)
        )

    def test_preprocessing_inside_equals_outside(self, images):
        inside, outside = create(), create(include_preprocessing=False)
        outside.set_weights(inside.get_weights())
        normalised = keras_mambaout.preprocess_input(images.copy())
        np.testing.assert_allclose(predict(outside, normalised), predict(inside, images), atol=1e-6)

    def test_output_norms(self, images):
        backbone = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
        levels = keras.Model(backbone.input, backbone.pyramid_outputs)(images)
        for level in levels.values():
            level = ops.convert_to_numpy(level)
            np.testing.assert_allclose(level.mean(-1), 0, atol=1e-5)
        assert len([w for w in backbone.weights if "output_norms" in w.path]) == 8

    @pytest.mark.parametrize("output_norms", [False, True])
    def test_pyramid_level_inputs_name_the_layers(self, output_norms, images):
        backbone = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=output_norms)
        by_name = {level: backbone.get_layer(name).output for level, name in backbone.pyramid_level_inputs.items()}
        one = keras.Model(backbone.input, by_name)(images)
        other = keras.Model(backbone.input, backbone.pyramid_outputs)(images)
        assert set(one) == {"P2", "P3", "P4", "P5"}
        for level, feature in one.items():
            np.testing.assert_array_equal(ops.convert_to_numpy(feature), ops.convert_to_numpy(other[level]))

    def test_channels_first(self, images, channels_first):
        first = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
        classifier = create(input_shape=(3, 64, 96))
        keras.config.set_image_data_format("channels_last")
        last = keras_mambaout.MambaOutBackbone("mambaout_test", output_norms=True)
        last.set_weights(first.get_weights())
        transposed = images.transpose(0, 3, 1, 2)
        assert first.input_shape == (None, 3, None, None)
        assert classifier.input_shape == (None, 3, 64, 96) and predict(classifier, transposed).shape == (2, 1000)
        ours = keras.Model(first.input, first.pyramid_outputs)(transposed)
        theirs = keras.Model(last.input, last.pyramid_outputs)(images)
        for level in ours:
            expected = ops.convert_to_numpy(theirs[level]).transpose(0, 3, 1, 2)
            np.testing.assert_allclose(ops.convert_to_numpy(ours[level]), expected, atol=1e-5)
        np.testing.assert_allclose(predict(first, transposed), predict(last, images).transpose(0, 3, 1, 2), atol=1e-5)

    def test_data_format_is_part_of_a_saved_model(self, channels_first, tmp_path):
        model = create(input_shape=(3, 32, 32), include_top=False, pooling="max")
        model.save(tmp_path / "model.keras")
        keras.config.set_image_data_format("channels_last")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        x = np.random.RandomState(0).random_sample((1, 3, 32, 32))
        np.testing.assert_array_equal(predict(loaded, x), predict(model, x))


class TestInputTensor:
    def test_model_starts_at_the_tensors_own_inputs(self, images):
        inputs = keras.Input((64, 96, 3))
        flipped = keras.layers.RandomFlip()(inputs)
        model = create(input_tensor=flipped, classes=4)
        assert model.input_shape == (None, 64, 96, 3) and model.output_shape == (None, 4)
        assert predict(model, images).shape == (2, 4)

    def test_it_is_saved_whole(self, images, tmp_path):
        inputs = keras.Input((64, 96, 3))
        model = create(input_tensor=keras.layers.Rescaling(0.5)(inputs), classes=4)
        model.save(tmp_path / "model.keras")
        np.testing.assert_array_equal(
            predict(keras.models.load_model(tmp_path / "model.keras"), images), predict(model, images)
        )

    def test_bad_tensor(self):
        with pytest.raises(ValueError, match="must be a Keras tensor"):
            create(input_tensor=np.zeros((1, 32, 32, 3)))
        with pytest.raises(ValueError, match="differs from the shape"):
            create(input_tensor=keras.Input((64, 64, 3)), input_shape=(32, 32, 3))


class TestMixedPrecision:
    @pytest.mark.parametrize(
        "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.first_on("torch"))]
    )
    def test_inference(self, policy, images, seeded_file):
        exact = create(weights=seeded_file("mambaout_test"))
        mixed = create(weights=seeded_file("mambaout_test"), dtype=policy)
        assert mixed.get_layer("stem").compute_dtype == policy.removeprefix("mixed_")
        probabilities = mixed(images, training=False)
        assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
        error = np.abs(ops.convert_to_numpy(probabilities) - predict(exact, images)).max()
        assert error < 0.1 * predict(exact, images).max()

    def test_global_policy(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = create()
        finally:
            keras.config.set_dtype_policy("float32")
        assert model.get_layer("stages_0_blocks_0").compute_dtype == "bfloat16"
        assert model.get_layer("image_normalization").compute_dtype == "float32"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"classes": 0}, "`classes` must be an integer of 1 or more, got 0"),
        ({"classes": 2.5}, "`classes` must be an integer"),
        ({"drop_path_rate": 1.5}, "`drop_path_rate` must be a number at least 0 and below 1, got 1.5"),
        ({"drop_path_rate": "a"}, "`drop_path_rate` must be a number"),
        ({"dropout_rate": -0.1}, "`dropout_rate` must be a number"),
        ({"pooling": "sum"}, "`pooling` must be one of None, 'avg', 'max', got 'sum'"),
        ({"input_shape": (64, 64)}, r"three entries, \(height, width, channels\)"),
        ({"input_shape": (64, 64, None)}, "must name the number of channels"),
        ({"input_shape": (31, 64, 3)}, "must be 32 or more, or None for any size"),
        ({"input_shape": (3, 64, 64)}, "must be 32 or more"),
        ({"input_shape": 224}, "three entries"),
        ({"dtype": "float12"}, "`dtype` must be a Keras dtype policy"),
        ({"weights": "imagenet21k"}, "Unknown weights 'imagenet21k'"),
        ({"weights": "/nowhere/model.safetensors"}, "There is no weights file"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        create(**kwargs)


def test_bad_variant_and_data_format():
    with pytest.raises(ValueError, match="Unknown MambaOut variant 'mambaout_huge'"):
        keras_mambaout.create_model("mambaout_huge")
    with pytest.raises(ValueError, match="`data_format` must be one of 'channels_last', 'channels_first'"):
        keras_mambaout.MambaOutBackbone("mambaout_test", data_format="nchw")


class TestEmbedding:
    """Its numbers are compared with timm's in `test_parity.py`."""

    def test_it_is_the_same_network_without_its_last_layer(self, images, tmp_path):
        model = keras_mambaout.create_model("mambaout_test", weights=None, classes=3, classifier_activation=None)
        embed = model.embedding_model()
        fc = model.get_layer("head").fc
        features = predict(embed, images)
        assert embed.output_shape == (None, 4 * DIMS[-1])
        np.testing.assert_allclose(
            features @ fc.kernel.numpy() + fc.bias.numpy(), predict(model, images), rtol=1e-4, atol=1e-5
        )
        assert embed.count_params() == model.count_params() - fc.count_params()
        assert all(any(weight is own for own in model.weights) for weight in embed.weights)  # shared, not copied
        embed.save(tmp_path / "embed.keras")
        np.testing.assert_array_equal(predict(keras.models.load_model(tmp_path / "embed.keras"), images), features)
