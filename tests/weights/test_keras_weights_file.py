"""Keras' own `.weights.h5` files: the same strictness."""

import numpy as np
import pytest
from small_model import assert_same, create, tiny, values

import keras_mambaout


@pytest.fixture(scope="module")
def model():
    return create()


class TestKerasWeightsFile:
    def test_round_trip_whatever_the_rates(self, tmp_path):
        plain, regularised = create(), create(drop_path_rate=0.1, dropout_rate=0.2)
        for source, target in ((plain, regularised), (regularised, plain)):
            source.save_weights(tmp_path / "model.weights.h5")
            keras_mambaout.load_weights(target, tmp_path / "model.weights.h5")
            assert_same(target, values(source))
            source.get_layer("head").fc.bias.assign(np.ones(1000))

    def test_of_a_compiled_model(self, tmp_path):
        model = tiny(classes=3)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(np.zeros((2, 32, 32, 3)), np.zeros(2), verbose=0)
        model.save_weights(tmp_path / "model.weights.h5")
        fresh = tiny(classes=3)
        keras_mambaout.load_weights(fresh, tmp_path / "model.weights.h5")
        assert_same(fresh, values(model))

    @pytest.mark.parametrize("other", [{"classes": 7}, {"include_top": False}])
    def test_of_another_model_changes_nothing(self, model, tmp_path, other):
        create(**other).save_weights(tmp_path / "other.weights.h5")
        before = values(model)
        with pytest.raises(ValueError, match=r"other\.weights\.h5.*left unchanged"):
            keras_mambaout.load_weights(model, tmp_path / "other.weights.h5")
        assert_same(model, before)

    def test_damaged(self, model, tmp_path):
        model.save_weights(tmp_path / "model.weights.h5")
        content = (tmp_path / "model.weights.h5").read_bytes()
        before = values(model)
        for cut in (0, 1000, len(content) // 2, len(content) - 2000):
            (tmp_path / "cut.weights.h5").write_bytes(content[:cut])
            with pytest.raises(ValueError, match=r"cut\.weights\.h5"):
                keras_mambaout.load_weights(model, tmp_path / "cut.weights.h5")
            assert_same(model, before)

    def test_deeper_model_is_not_silently_cut(self, tmp_path):
        def backbone(depth):
            config = keras_mambaout.MambaOutConfig(depths=(1, 1, 1, depth), dims=(16, 16, 16, 16))
            return keras_mambaout.MambaOutBackbone(config)

        backbone(2).save_weights(tmp_path / "deeper.weights.h5")
        with pytest.raises(ValueError, match="it holds"):
            keras_mambaout.load_weights(backbone(1), tmp_path / "deeper.weights.h5")
