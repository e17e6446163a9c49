"""Images of every kind arrive as RGB uint8."""

import io

import numpy as np
import pytest
import seeded
from PIL import Image

from keras_mambaout import load_image

pytestmark = pytest.mark.no_backend

PHOTO = seeded.photo(40, 60)


def as_file(image, file_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    file.seek(0)
    return file


def test_path_file_pil_and_array_are_the_same(tmp_path):
    image = Image.fromarray(PHOTO)
    image.save(tmp_path / "photo.png")
    for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), as_file(image), image, PHOTO, PHOTO.tolist()):
        if isinstance(source, list):
            source = np.array(source, "uint8")
        loaded = load_image(source)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, PHOTO)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_modes(mode):
    image = Image.fromarray(PHOTO).convert("RGB").convert(mode) if mode != "LAB" else _lab()
    loaded = load_image(image)
    assert loaded.shape == PHOTO.shape and loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, np.array(image.convert("RGB")))


def _lab():
    return Image.new("LAB", (60, 40), (50, 0, 0))


def test_files_of_every_mode():
    rgb = Image.fromarray(PHOTO)
    for mode, file_format in (
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("P", "PNG"),
        ("P", "GIF"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
    ):
        loaded = load_image(as_file(rgb.convert(mode), file_format))
        assert loaded.shape == PHOTO.shape
        assert np.abs(loaded.mean((0, 1)) - np.array(rgb.convert(mode).convert("RGB")).mean((0, 1))).max() < 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode):
    image = Image.new(mode, (4, 4), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    np.testing.assert_array_equal(load_image(as_file(image)), 255)
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    np.testing.assert_array_equal(load_image(half), 127)


def test_transparent_palette():
    image = Image.fromarray(PHOTO).convert("P")
    image.putpixel((0, 0), 5)
    loaded = load_image(as_file(image, transparency=5))
    np.testing.assert_array_equal(loaded[0, 0], 255)


def test_sixteen_bit():
    values = np.array([[0, 257, 65535], [32896, 128, 1000]], "uint16")
    expected = np.round(values / 257).astype("uint8")
    for source in (values, as_file(Image.fromarray(values)), Image.fromarray(values.astype("int32"))):
        np.testing.assert_array_equal(load_image(source), np.repeat(expected[..., None], 3, -1))


def test_exif_rotation():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    loaded = load_image(as_file(Image.fromarray(PHOTO), exif=exif))
    np.testing.assert_array_equal(loaded, np.rot90(PHOTO, -1))


def test_arrays():
    np.testing.assert_array_equal(load_image(PHOTO.astype("float32")), PHOTO)
    np.testing.assert_array_equal(load_image(PHOTO[..., 0]), np.repeat(PHOTO[..., :1], 3, -1))
    np.testing.assert_array_equal(load_image(PHOTO[..., :1]), np.repeat(PHOTO[..., :1], 3, -1))
    np.testing.assert_array_equal(load_image(PHOTO[..., 0] > 100), 255 * np.repeat(PHOTO[..., :1] > 100, 3, -1))
    opaque = np.concatenate([PHOTO, np.full((40, 60, 1), 255, "uint8")], -1)
    np.testing.assert_array_equal(load_image(opaque), PHOTO)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4, 4, 3), "uint8"), "got shape"),
        (np.zeros((3, 40, 60), "uint8"), "channels last"),
        (np.zeros((0, 4, 3), "uint8"), "got shape"),
        (np.zeros((4, 4, 3), "int64"), "got int64"),
        (np.full((4, 4, 3), 300.0), "from 0 to 255"),
        (np.full((4, 4, 3), -1.0), "from 0 to 255"),
        (np.full((4, 4, 3), np.nan), "finite"),
    ],
)
def test_bad_arrays(array, message):
    with pytest.raises(ValueError, match=message):
        load_image(array)


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match=r"no image file .*nowhere\.jpg"):
        load_image(tmp_path / "nowhere.jpg")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.jpg' is not a readable image"):
        load_image(tmp_path / "text.jpg")
    content = as_file(Image.fromarray(PHOTO), "JPEG").getvalue()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut\.jpg' is not a readable image"):
        load_image(tmp_path / "cut.jpg")
    with pytest.raises(ValueError, match="not a readable image"):
        load_image(tmp_path)


def test_real_photos(data_dir):
    """ImageNet's own, one of them greyscale."""
    for path in sorted((data_dir / "imagenet_samples" / "images").glob("*"))[::10]:
        image = load_image(path)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
    grey = load_image(next((data_dir / "imagenet_samples" / "images").glob("n03908714*")))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
