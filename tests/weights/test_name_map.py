"""Their names and layouts for our variables."""

import pytest

from keras_mambaout.weights.name_map import published_name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("stem/conv1/kernel", ("stem.conv1.weight", (2, 3, 1, 0))),
        ("stages_2_downsample/norm/beta", ("stages.2.downsample.norm.bias", None)),
        ("stages_2_blocks_11/conv/kernel", ("stages.2.blocks.11.conv.weight", (2, 3, 0, 1))),
        ("stages_0_blocks_0/fc2/bias", ("stages.0.blocks.0.fc2.bias", None)),
        ("stages_0_blocks_0/ls/gamma", ("stages.0.blocks.0.ls.gamma", None)),
        ("head/pre_logits/kernel", ("head.pre_logits.fc.weight", (1, 0))),
        ("head/pre_logits_norm/gamma", ("head.pre_logits.norm.weight", None)),
        ("output_norms_3/gamma", ("output_norms.3.weight", None)),
    ],
)
def test_published_name(path, expected):
    assert published_name(path) == expected
