"""The evaluation transform against timm's stored pixels; names and normalisation."""

import keras
import numpy as np
import pytest
import seeded
from paths import ROOT
from PIL import Image

from keras_mambaout import decode_predictions, load_image, preprocess_input, resize_and_center_crop

TRANSFORMS = dict(np.load(ROOT / "tests" / "fixtures" / "timm_transforms.npz"))


@pytest.mark.parametrize("case", TRANSFORMS)
def test_transform_equals_timm(case):
    size, crop_pct, crop_mode, shape = case.split("/")
    height, width = map(int, shape.split("x"))
    ours = resize_and_center_crop(seeded.photo(height, width), int(size), float(crop_pct), crop_mode)
    assert ours.shape == (int(size), int(size), 3) and ours.dtype == np.uint8
    difference = np.abs(seeded.sample(ours, 4096).astype(int) - TRANSFORMS[case].astype(int))
    assert np.mean(difference <= 1) >= 0.999


def test_real_photos_against_pillow(data_dir):
    for path in sorted((data_dir / "imagenet_samples" / "images").glob("*"))[::20]:
        image = load_image(path)
        height, width = image.shape[:2]
        scale = 256 / min(height, width)
        new = (int(width * scale), 256) if height < width else (256, int(height * scale))
        pillow = np.array(Image.fromarray(image).resize(new, Image.Resampling.BICUBIC))
        top, left = round((pillow.shape[0] - 224) / 2), round((pillow.shape[1] - 224) / 2)
        expected = pillow[top : top + 224, left : left + 224]
        difference = np.abs(resize_and_center_crop(image, 224, 0.875).astype(int) - expected)
        assert np.mean(difference <= 1) >= 0.999


def test_crop_of_the_exact_size_is_the_image():
    image = seeded.photo(224, 224)
    np.testing.assert_array_equal(resize_and_center_crop(image), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (300, 2)])
def test_extreme_images(shape):
    assert resize_and_center_crop(np.full((*shape, 3), 7, "uint8"), 32).tolist() == np.full((32, 32, 3), 7).tolist()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": 0}, "`size`"),
        ({"size": 224.0}, "`size`"),
        ({"crop_pct": 0}, "`crop_pct`"),
        ({"crop_pct": 1.2}, "`crop_pct`"),
        ({"crop_mode": "border"}, "`crop_mode` must be one of center, squash"),
        ({"image": np.zeros((4, 4, 3))}, "must be a uint8 array"),
        ({"image": np.zeros((2, 4, 4, 3), "uint8")}, "one image at a time"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        resize_and_center_crop(**{"image": seeded.photo(40, 40), **kwargs})


def test_preprocess_input():
    images = np.stack([seeded.photo(8, 8)] * 2).astype("float32")
    expected = (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(preprocess_input(images.copy()), expected, atol=1e-5)
    first = preprocess_input(images.transpose(0, 3, 1, 2).copy(), data_format="channels_first")
    np.testing.assert_allclose(first, expected.transpose(0, 3, 1, 2), atol=1e-5)
    tensor = preprocess_input(keras.ops.convert_to_tensor(images))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensor), expected, atol=1e-5)


class TestDecodePredictions:
    def test_names_in_order(self):
        scores = np.zeros((2, 1000), "float32")
        scores[0, [386, 0, 999]] = 0.6, 0.3, 0.1
        scores[1, 1] = 1.0
        first, second = decode_predictions(scores, top=3)
        assert first[0] == ("n02504458", "African_elephant", pytest.approx(0.6))
        assert [name for _, name, _ in first] == ["African_elephant", "tench", "toilet_tissue"]
        assert second[0][:2] == ("n01443537", "goldfish")

    def test_tensors(self):
        probabilities = keras.ops.one_hot([5], 1000)
        assert decode_predictions(probabilities, top=1)[0][0][1] == "electric_ray"

    def test_all_thousand_names(self, data_dir):
        """Names and order are those of the list that comes with real ImageNet photos."""
        classes = (data_dir / "imagenet_samples" / "class_list_1000.txt").read_text().split()
        decoded = decode_predictions(np.arange(1000.0)[None, ::-1], top=1000)[0]
        assert [f"{synset}_{name}" for synset, name, _ in decoded] == classes

    @pytest.mark.parametrize("shape", [(1000,), (1, 999), (1, 11821), (2, 2, 1000)])
    def test_bad_shape(self, shape):
        with pytest.raises(ValueError, match=r"\(B, 1000\)"):
            decode_predictions(np.zeros(shape))

    @pytest.mark.parametrize("top", [0, 1001, "5"])
    def test_bad_top(self, top):
        with pytest.raises(ValueError, match="`top` must be an integer from 1 to 1000"):
            decode_predictions(np.zeros((1, 1000)), top=top)
