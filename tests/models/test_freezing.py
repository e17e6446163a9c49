"""What is frozen does not train, and stays frozen when saved."""

import keras
import numpy as np
import pytest
from small_model import create

import keras_mambaout


class TestFreezing:
    def test_trainable_false_freezes_the_backbone(self):
        model = create(classes=3)
        model.backbone.trainable = False
        assert {v.path.split("/")[0] for v in model.trainable_variables} == {"head"}
        model.backbone.trainable = True
        assert len(model.trainable_variables) == len(model.weights)

    @pytest.mark.parametrize("stages", [0, 2, 4])
    def test_freeze_stages(self, stages):
        model = create()
        keras_mambaout.freeze_stages(model, stages)
        frozen = {v.path.split("/")[0] for v in model.weights} - {
            v.path.split("/")[0] for v in model.trainable_variables
        }
        assert "stem" in frozen and "head" not in frozen
        for stage in range(4):
            assert any(name.startswith(f"stages_{stage}_") for name in frozen) == (stage < stages)
            assert (f"stages_{stage}_downsample" in frozen) == (0 < stage < stages)

    def test_stages_are_unfrozen_again(self):
        model = create()
        model.backbone.trainable = False
        for stages in (4, 2, 0, 3):
            keras_mambaout.freeze_stages(model, stages)
            fresh = create()
            keras_mambaout.freeze_stages(fresh, stages)
            for one, other in ((model, fresh), (model.backbone, fresh.backbone)):
                assert [v.path for v in one.trainable_variables] == [v.path for v in other.trainable_variables]
        keras_mambaout.freeze_stages(model, None)
        assert len(model.trainable_variables) == len(model.weights)

    def test_frozen_layers_do_not_move_and_stay_frozen_when_saved(self, images, tmp_path, seeded_file):
        model = create(classes=2, weights=seeded_file("mambaout_test"))
        keras_mambaout.freeze_stages(model, 3)
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        before = {v.path: v.numpy() for v in model.weights}
        model.fit(images, np.array([0, 0]), verbose=0)
        for v in model.weights:
            is_frozen = v.path.startswith(("stem", "stages_0", "stages_1", "stages_2"))
            assert np.array_equal(before[v.path], v.numpy()) == is_frozen, v.path
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert [v.path for v in loaded.trainable_variables] == [v.path for v in model.trainable_variables]

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="integer from 0 to 4"):
            keras_mambaout.freeze_stages(create(), 5)
        with pytest.raises(ValueError, match="no layer named 'stem'"):
            keras_mambaout.freeze_stages(keras.Sequential([keras.layers.Dense(1)]), 1)
