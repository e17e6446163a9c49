"""The table of variants and what a config refuses."""

import dataclasses

import numpy as np
import pytest

from keras_mambaout.config import VARIANTS, MambaOutConfig, resolve_config


def test_the_table_has_the_ten_models_and_one_for_tests():
    assert len(VARIANTS) == 11
    assert all(name.startswith("mambaout_") for name in VARIANTS)
    assert len(set(map(str, VARIANTS.values()))) == 11


def test_config_is_frozen_and_rebuilt_from_its_dict():
    config = VARIANTS["mambaout_base_wide_rw"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depths = (1, 1, 1, 1)
    assert resolve_config(dataclasses.asdict(config)) == config
    assert MambaOutConfig(depths=[3, 3, 9, 3]) == VARIANTS["mambaout_tiny"]


def test_drop_path_rates_grow_linearly_over_the_network():
    rates = VARIANTS["mambaout_tiny"].drop_path_rates(0.2)
    assert [len(stage) for stage in rates] == [3, 3, 9, 3]
    np.testing.assert_allclose(np.concatenate(rates), np.linspace(0, 0.2, 18))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": (1, 2, 3)}, "`depths` must be 4 positive integers"),
        ({"depths": (1, 2, 0, 1)}, "`depths` must be 4 positive integers"),
        ({"depths": 3}, "`depths` must be 4 positive integers"),
        ({"dims": (16, 32, 48, 64.5)}, "`dims` must be 4 positive integers"),
        ({"dims": (15, 32, 48, 64)}, "must be even"),
        ({"conv_ratio": 3.0}, "at most `expansion_ratio`"),
        ({"conv_ratio": 0}, "above 0"),
        ({"kernel_size": 4}, "odd positive integer"),
        ({"layer_scale_init": 0.0}, "above 0, or None"),
        ({"downsample": "pool"}, "conv, conv_nf"),
        ({"activation": "relu"}, "gelu, silu"),
        ({"head": "linear"}, "mlp, norm_mlp"),
    ],
)
def test_bad_values(change, message):
    with pytest.raises(ValueError, match=message):
        MambaOutConfig(**change)


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"Unknown MambaOut variant 'tiny'\. Choose one of mambaout_femto"):
        resolve_config("tiny")


def test_count_parameters():
    assert resolve_config("mambaout_femto").count_parameters() == 7_304_536
    assert resolve_config("mambaout_base_plus_rw").count_parameters() == 101_656_552
