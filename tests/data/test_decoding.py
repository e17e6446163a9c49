"""Data sets decode image files to the pixels that `load_image` gives, and fail as it does."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_mambaout.data import decoding
from keras_mambaout.preprocessing import load_image

pytestmark = pytest.mark.no_backend

tf = pytest.importorskip("tensorflow")


def encoded(mode="RGB", kind="JPEG", **options):
    """Returns the bytes of an image of a smooth colour pattern."""
    y, x = np.mgrid[:61, :83]
    image = Image.fromarray(np.stack([3 * x, 4 * y, x * y % 256], axis=-1).astype("uint8"))
    file = io.BytesIO()
    image.convert(mode).save(file, kind, **options)
    return file.getvalue()


def rotated(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(exif=exif)


KINDS = {
    "4:2:0": encoded(),
    "4:4:4": encoded(subsampling=0, quality=95),
    "progressive": encoded(progressive=True),
    "grey": encoded("L"),
    "CMYK": encoded("CMYK"),
    "upright": rotated(1),
    "rotated": rotated(6),
    "PNG": encoded(kind="PNG"),
    "WebP": encoded(kind="WEBP"),
}
PLAIN = ("4:2:0", "4:4:4", "progressive", "grey", "upright")


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_load_image(kind, tmp_path, monkeypatch):
    path = tmp_path / "image"
    path.write_bytes(KINDS[kind])
    expected, read = load_image(path), []
    monkeypatch.setattr(decoding, "load_image", lambda source: read.append(source) or load_image(source))
    for source in (str(path), KINDS[kind]):
        np.testing.assert_array_equal(decoding.decode_image(source, "image"), expected)
    assert len(read) == (0 if kind in PLAIN else 2)  # TensorFlow decodes the plain ones


def test_real_photos(data_dir):
    for path in sorted((data_dir / "imagenet_samples" / "images").iterdir())[::5]:
        np.testing.assert_array_equal(decoding.decode_image(str(path)), load_image(path))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-400], lambda data: data[:20], lambda data: b"", lambda data: b"no"]
)
def test_damaged_files_are_named(damage, tmp_path):
    data, path = damage(KINDS["4:2:0"]), tmp_path / "broken.jpg"
    path.write_bytes(data)
    for source in (str(path), data):
        with pytest.raises(ValueError, match=r"broken.jpg' is not a readable image"):
            decoding.decode_image(source, "broken.jpg")
    with pytest.raises(ValueError, match=r"There is no image file"):
        decoding.decode_image(str(tmp_path / "missing.jpg"))
