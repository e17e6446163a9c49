"""timm's `config.json`: what is read from it, and what is refused without anything being imported or opened."""

import json
import sys

import pytest

from keras_mambaout.preprocessing.imagenet import imagenet_names
from keras_mambaout.weights.timm_config import read_timm_config

pytestmark = pytest.mark.no_backend

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TINY = {  # as timm/mambaout_tiny.in1k has it
    "architecture": "mambaout_tiny",
    "num_classes": 1000,
    "num_features": 576,
    "pretrained_cfg": {
        "tag": "in1k",
        "custom_load": False,
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": MEAN,
        "std": STD,
        "num_classes": 1000,
        "pool_size": [7, 7],
        "first_conv": "stem.conv1",
        "classifier": "head.fc",
    },
}


@pytest.fixture
def read(tmp_path):
    def read(config):
        path = tmp_path / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return read_timm_config(path)

    return read


def test_published_config(read):
    config = read(TINY)
    assert (config.variant, config.classes, config.classifier_activation) == ("mambaout_tiny", 1000, "softmax")
    assert config.settings.class_names == tuple(imagenet_names())
    assert (config.settings.image_size, config.settings.crop_pct, config.settings.crop_mode) == (224, 1.0, "center")


def test_names_by_number_and_a_flat_file(read):
    flat = {"architecture": "test_mambaout", "num_classes": 2, "labels": ["a", "b"], "input_size": [3, 64, 96]}
    config = read(flat)
    assert (config.variant, config.settings.class_names) == ("mambaout_test", ("a", "b"))
    assert config.settings.image_size is None
    assert read({**flat, "label_names": {"1": "b"}}).settings.class_names == ("0", "b")
    assert read({**flat, "model_args": {"in_chans": 3, "num_classes": 2, "global_pool": "avg"}}).classes == 2
    unknown = {**TINY, "pretrained_cfg": {**TINY["pretrained_cfg"], "tag": "mine"}}
    assert read(unknown).settings.class_names is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not timm's config.json of a MambaOut classifier: Expecting property name"),
        ("[" * 100_000, "is not timm's"),
        ("[]", r"it must be an object, got \[\]"),
        ({}, "`architecture` must be one of mambaout_femto.*got None"),
        ({**TINY, "architecture": "resnet50"}, "got 'resnet50'"),
        ({**TINY, "architecture": ["os.system"]}, "`architecture` must be one of"),
        ({"architecture": "mambaout_tiny"}, "`classes` must be an integer of 1 or more, got None"),
        ({**TINY, "num_classes": 0}, "got 0. For a model without a classifier use `include_top=False`"),
        ({**TINY, "label_names": ["a"]}, "`class_names` must have 1000 entries, one per class, got 1"),
        ({**TINY, "label_names": 7}, "is not timm's"),
        (
            {**TINY, "model_args": {"act_layer": "torch.nn.ReLU"}},
            "model_args that change the network, got 3 and .*ReLU",
        ),
        ({**TINY, "model_args": {"in_chans": 1}}, "got 3 and {'in_chans': 1}"),
        ({**TINY, "model_args": {"global_pool": "max"}}, "got 3 and {'global_pool': 'max'}"),
        ({**TINY, "pretrained_cfg": {"input_size": [1, 28, 28]}}, "it must be for images of 3 channels, .*got 1 and"),
        ({**TINY, "pretrained_cfg": {"input_size": 224}}, "is not timm's"),
        ({**TINY, "pretrained_cfg": {"input_size": [3, "a", "a"]}}, "`image_size` must be an integer of 1 or more"),
        (
            {**TINY, "pretrained_cfg": {"mean": [0.5, 0.5, 0.5]}},
            r"`mean` must be ImageNet's, .*, got \[0.5, 0.5, 0.5\]",
        ),
        ({**TINY, "pretrained_cfg": {"std": "module:std"}}, "`std` must be ImageNet's"),
        ({**TINY, "pretrained_cfg": {"crop_mode": "border"}}, "`crop_mode` must be one of"),
        ({**TINY, "pretrained_cfg": "/etc/passwd"}, "pretrained_cfg must be an object"),
        ({**TINY, "keras_mambaout": {"classifier_activation": "os:system"}}, "`classifier_activation` must be one of"),
        ({**TINY, "keras_mambaout": {"weights": "/etc/passwd"}}, "unexpected keyword argument 'weights'"),
        ({**TINY, "keras_mambaout": {"variant": "mambaout_femto"}}, "multiple values for keyword argument 'variant'"),
        ({**TINY, "keras_mambaout": {"drop_path_rate": 2}}, "`drop_path_rate` must be a number"),
        ({**TINY, "keras_mambaout": []}, "keras_mambaout must be an object"),
    ],
)
def test_what_is_refused(read, config, message):
    before = set(sys.modules)
    with pytest.raises(ValueError, match=message) as error:
        read(config)
    assert "\n" not in str(error.value)
    assert set(sys.modules) == before
