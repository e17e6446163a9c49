"""Images of every kind arrive as RGB uint8."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import seeded
from PIL import Image, ImageOps, PngImagePlugin

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
        (np.full((4, 4), 3, object), "got object"),
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


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_what_pillow_raises_names_the_file(tmp_path):
    """Pillow's plugins raise errors of many types for damaged files."""
    png, dds = as_file(Image.fromarray(PHOTO)).getvalue(), as_file(Image.fromarray(PHOTO), "DDS").getvalue()
    text = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2 << 20)))
    files = {
        "text_bomb.png": png[:33] + text + png[33:],
        "short.dds": dds[:50],
        "wrong.ppm": b"P6 67 4x8 255\n",
        "cut.avif": as_file(Image.fromarray(PHOTO), "AVIF").getvalue()[:-50],
        "page.jpg": as_file(Image.fromarray(PHOTO), "EPS").getvalue(),  # Ghostscript would run it
        "empty.png": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}' is not a readable image"):
            load_image(tmp_path / name)
        with open(tmp_path / name, "rb") as file, pytest.raises(ValueError, match=rf"{name}' is not a readable"):
            load_image(file)


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), NotImplementedError(), struct.error("bytes")])
def test_an_error_of_any_type_names_the_file(tmp_path, monkeypatch, error):
    def load(image):
        raise error

    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(ValueError, match=r"photo\.png"):
        load_image(tmp_path / "photo.png")


def test_pillows_limit_against_decompression_bombs(tmp_path, monkeypatch):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO.size // 3 // 2 - 1)  # it has more than twice as many
    with pytest.raises(ValueError, match=r"photo\.png' is too large .*MAX_IMAGE_PIXELS` higher"):
        load_image(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO.size // 3 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        np.testing.assert_array_equal(load_image(tmp_path / "photo.png"), PHOTO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"photo\.png' is too large"):
            load_image(tmp_path / "photo.png")


def test_only_the_first_image_of_a_file_is_read():
    first, rest = Image.fromarray(PHOTO), [Image.new("RGB", (60, 40), "red")]
    for file_format in ("TIFF", "PNG", "MPO"):
        alone = load_image(as_file(first, "JPEG" if file_format == "MPO" else file_format))
        both = load_image(as_file(first, file_format, save_all=True, append_images=rest))
        np.testing.assert_array_equal(both, alone)


def test_an_image_whose_exif_is_damaged_is_read_as_it_is_stored(tmp_path, monkeypatch):
    plain = as_file(Image.fromarray(PHOTO), "JPEG")
    garbage = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own
        damaged = load_image(as_file(Image.fromarray(PHOTO), "JPEG", exif=garbage))
    np.testing.assert_array_equal(damaged, load_image(plain))
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")

    def getexif(image):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "getexif", getexif)
    with pytest.warns(UserWarning, match=r"photo\.png' has EXIF that cannot be read"):
        np.testing.assert_array_equal(load_image(tmp_path / "photo.png"), PHOTO)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation):
    image, exif = Image.fromarray(PHOTO), Image.Exif()
    exif[0x0112] = orientation
    stored = as_file(image, exif=exif)
    np.testing.assert_array_equal(load_image(stored), np.array(ImageOps.exif_transpose(Image.open(stored))))


def test_images_that_come_out_nearly_black_are_warned_of(tmp_path):
    grey = PHOTO[..., 0]
    for number, array in enumerate([grey / np.float32(255), grey.astype("int32"), grey.astype("uint16") * 16]):
        path = tmp_path / f"dark{number}.tif"
        Image.fromarray(array).save(path)
        with pytest.warns(UserWarning, match=rf"dark{number}\.tif' comes out nearly black: its largest value is"):
            assert load_image(path).max() <= 16
    for array in (PHOTO / 255, PHOTO.astype("float16") / 255, PHOTO.astype("uint16")):
        with pytest.warns(UserWarning, match="An image array comes out nearly black"):
            load_image(array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (np.zeros((4, 4)), np.zeros((4, 4), "uint16"), PHOTO // 100, PHOTO * 1.0, grey.astype("f4")):
            load_image(array)


@pytest.mark.parametrize("value", [-1.0, 256.0, np.nan, np.inf, -1, 65536, 2**31 - 1])
def test_values_outside_of_the_range_name_the_file(tmp_path, value):
    array = PHOTO[..., 0].astype("float32" if isinstance(value, float) else "int32")
    array[3, 4] = value
    Image.fromarray(array).save(tmp_path / "values.tif")
    with pytest.raises(ValueError, match=r"values\.tif' has values from .* bring them to that scale"):
        load_image(tmp_path / "values.tif")


def test_formats_of_other_packages_are_read_and_postscript_is_not(tmp_path, monkeypatch):
    def factory(file, name):
        return Image.frombytes("L", (2, 2), file.read()[4:8])

    monkeypatch.setitem(Image.OPEN, "OURS", (factory, lambda prefix: prefix.startswith(b"OURS")))
    (tmp_path / "image.ours").write_bytes(b"OURS" + bytes([0, 50, 100, 150]))
    np.testing.assert_array_equal(load_image(tmp_path / "image.ours")[..., 0], [[0, 50], [100, 150]])
    (tmp_path / "program.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(ValueError, match=r"program\.jpg' is not a readable image"):
        load_image(tmp_path / "program.jpg")


def test_real_photos(data_dir):
    """ImageNet's own, one of them greyscale."""
    for path in sorted((data_dir / "imagenet_samples" / "images").glob("*"))[::10]:
        image = load_image(path)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
    grey = load_image(next((data_dir / "imagenet_samples" / "images").glob("n03908714*")))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
