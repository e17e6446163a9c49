"""Images that are wrong: files of every format that Pillow writes, damaged in many ways, bombs, and arrays.

A third of the files are read as a data set reads them, and damaged PNGs as label maps too: a file is then refused if it
is named and left out.
"""

import io
import logging
import os
import re
import struct
import warnings
import zlib

import numpy as np
import seeded
from PIL import Image

from keras_mambaout import load_image
from keras_mambaout.data.image_files import ImageFiles
from keras_mambaout.data.reader import ImageReader, LabelError
from keras_mambaout.segmentation.label_map_files import LabelMapFiles

COUNT = 1500
HEIGHT, WIDTH = 48, 67
PHOTO = seeded.photo(HEIGHT, WIDTH)
FORMATS = {  # what is written, by ending: Pillow's format, modes, and options for each way of writing it
    "jpg": ("JPEG", ("RGB", "L", "CMYK"), ({}, {"progressive": True}, {"subsampling": 2, "quality": 30})),
    "png": ("PNG", ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), ({}, {"compress_level": 0})),
    "gif": ("GIF", ("P", "L"), ({}, {"save_all": True, "append_images": [Image.new("P", (WIDTH, HEIGHT), 7)]})),
    "webp": ("WEBP", ("RGB", "RGBA"), ({}, {"lossless": True})),
    "bmp": ("BMP", ("RGB", "RGBA", "P", "1"), ({},)),
    "tif": (
        "TIFF",
        ("RGB", "RGBA", "CMYK", "L", "P", "1", "I;16", "I", "F"),
        ({}, *({"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits"))),
    ),
    "ppm": ("PPM", ("RGB", "L", "1", "I;16", "F"), ({},)),
    "avif": ("AVIF", ("RGB", "RGBA"), ({},)),
    "dds": ("DDS", ("RGB", "RGBA", "L"), ({}, {"pixel_format": "DXT1"})),
    "ico": ("ICO", ("RGBA",), ({}, {"bitmap_format": "bmp"})),
    "tga": ("TGA", ("RGB", "RGBA", "L", "P"), ({}, {"compression": "tga_rle"})),
    "jp2": ("JPEG2000", ("RGB", "L"), ({}, {"irreversible": True})),
    "sgi": ("SGI", ("RGB", "L"), ({},)),
    "mpo": ("MPO", ("RGB",), ({"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))]},)),
}
OTHERS = {"eps": "EPS", "pcx": "PCX", "im": "IM", "icns": "ICNS", "pdf": "PDF", "xbm": "XBM", "msp": "MSP"}
WITH_EXIF = ("jpg", "png", "webp", "tif", "avif")
ZEROS = [zlib.compress(bytes(megabytes << 20)) for megabytes in (2, 40)]
LIMIT = Image.MAX_IMAGE_PIXELS  # Pillow reads up to twice as many


def prepare(folder):
    logging.disable(logging.CRITICAL)
    originals = []
    for ending, (file_format, modes, all_options) in FORMATS.items():
        for mode in modes:
            for options in all_options:
                encoded = _encode(_as(mode), file_format, options)
                if encoded is not None:
                    originals.append((ending, encoded, load_image(io.BytesIO(encoded))))
    bombs = {"above the limit": (20_000, 20_000), "between the limits": (9_500, 9_500)}
    bombs = {wrong: _encode(Image.new("1", size), "PNG", {}) for wrong, size in bombs.items()}
    return folder, originals, bombs


def make(made, random):
    folder, originals, bombs = made
    ending, encoded, expected = originals[random.integers(len(originals))]
    wrong = random.choice(list(WRONG), p=np.array(list(WRONG.values())) / sum(WRONG.values()))
    case = {"expected": expected, "allowed": (), "reader": random.random() < 1 / 3}
    if wrong == "array":
        return "array: type, shape or range", {"array": _wrong_array(random)}
    if wrong == "cut off":
        encoded = encoded[: random.integers(1, len(encoded))]
        case["allowed"] = ("refused", "same")
    elif wrong == "last bytes missing":
        encoded = encoded[: -random.integers(1, 20)]
        case["allowed"] = ("refused", "same")
    elif wrong == "empty or no image":
        count = random.choice([0, 1, 3, 100, 10_000])
        encoded = [b"\0" * count, b"\xff" * count, random.bytes(count), b"<svg></svg>"][random.integers(4)]
        case["allowed"] = ("refused",)
    elif wrong == "bytes appended":
        encoded += random.bytes(random.integers(1, 5000))
        case["allowed"] = ("refused", "same")
    elif wrong == "wrong ending":
        ending = random.choice([name for name in FORMATS if name != ending])
        case["allowed"] = ("same",)
    elif wrong == "bits flipped in the header":
        encoded = _flip(encoded, random, 40 + len(encoded) // 10)
    elif wrong == "bits flipped anywhere":
        encoded = _flip(encoded, random, len(encoded))
    elif wrong == "a range overwritten":
        start = random.integers(len(encoded))
        stop = min(start + random.integers(1, 400), len(encoded))
        filled = random.choice(["zeros", "ones", "random"])
        new = {"zeros": b"\0", "ones": b"\xff"}[filled] * (stop - start) if filled != "random" else None
        encoded = encoded[:start] + (new or random.bytes(int(stop - start))) + encoded[stop:]
    elif wrong == "two files in one":
        _, other, _ = originals[random.integers(len(originals))]
        encoded = encoded[: random.integers(1, len(encoded))] + other[random.integers(1, len(other)) :]
    elif wrong == "another size in the header":
        encoded = _resize(encoded, random)
    elif wrong.startswith("PNG"):
        encoded, ending = _png_bomb(wrong, random), "png"
        case.update(expected=PHOTO, allowed=("refused", "same") if wrong == "PNG with a text bomb" else ())
    elif wrong == "EXIF damaged":
        encoded, ending, case["expected"] = _with_exif(random)
        case["allowed"] = ("refused", "same", "warned") if ending in ("tif", "avif") else ("same", "warned")
    elif wrong in bombs:
        encoded, ending = bombs[wrong], "png"
        case.update(expected=None, allowed=("refused",) if wrong == "above the limit" else ("warned",))
    elif wrong == "other format":
        ending = random.choice(list(OTHERS))
        encoded = _encode(_as("1" if ending in ("xbm", "msp") else "RGB"), OTHERS[ending], {})
        ending = random.choice([ending, "jpg", "png"])
        case["allowed"] = ("refused",)
    elif wrong == "dark or outside the range":
        encoded, ending, case["allowed"] = _wrong_range(random)
    elif wrong == "no file":
        return wrong, {"path": os.path.join(folder, "nowhere.jpg") if random.random() < 0.5 else folder, **case}
    elif wrong == "label map":
        encoded = _encode(Image.fromarray((PHOTO[..., 0] % 3).astype("uint8")), "PNG", {})
        damage = random.integers(3)
        if damage == 0:
            encoded = encoded[: random.integers(1, len(encoded))]
        elif damage == 1:
            encoded = _flip(encoded, random, len(encoded))
        else:
            encoded = _png_bomb("PNG with a text bomb", random)
        ending = "png"
        case.update(label_map=True)
    case["path"] = os.path.join(folder, f"photo.{ending}")
    with open(case["path"], "wb") as file:
        file.write(encoded)
    return wrong, case


WRONG = {  # and how often it is drawn
    "cut off": 6,
    "last bytes missing": 3,
    "bits flipped in the header": 6,
    "bits flipped anywhere": 6,
    "a range overwritten": 6,
    "two files in one": 3,
    "another size in the header": 5,
    "bytes appended": 2,
    "wrong ending": 1,
    "empty or no image": 2,
    "other format": 2,
    "PNG with a text bomb": 2,
    "PNG with a wrong chunk": 3,
    "EXIF damaged": 5,
    "dark or outside the range": 3,
    "array": 3,
    "above the limit": 0.5,
    "between the limits": 0.15,
    "no file": 0.5,
    "label map": 3,
}


def attempt(made, case):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if "array" in case:
            return _attempt_array(*case["array"])
        if case.get("label_map"):
            return _attempt_label_map(case["path"])
        try:
            image = (_through_reader if case["reader"] else load_image)(case["path"])
        except ValueError as error:
            if repr(case["path"]) not in str(error):
                raise
            image = None
    if image is None:
        outcome = "refused"
    elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not 0 < image.size <= 6 * LIMIT:
        return "silent"
    elif case["expected"] is not None and np.array_equal(image, case["expected"]):
        outcome = "same"
    else:
        outcome = "different"
    said = [str(warning.message) for warning in caught]
    if any(case["path"] in message or "exceeds limit" in message for message in said) and outcome != "refused":
        outcome = "warned"
    if case["allowed"] and outcome not in case["allowed"]:
        return "silent" if outcome != "refused" else "traceback"
    return {"same": "right", "different": "valid"}.get(outcome, outcome)


def _through_reader(path):
    """Returns what a data set reads, or `None` if it names the file and leaves it out."""
    source = ImageFiles([path])
    reader = ImageReader(source)
    image = reader.read((0,), lambda image: image)
    if (image is None) != (reader.unreadable == {path}):
        raise AssertionError(f"read: {image is not None}, left out: {reader.unreadable}")
    return image


def _attempt_label_map(path):
    files = LabelMapFiles.__new__(LabelMapFiles)  # without a folder of images
    files.label_paths, files.label_ids = [path], [0, 1, 2]
    files._classes = np.full(2**16, -1)
    files._classes[:3] = (0, 1, 2)
    try:
        labels = files.load_labels(0)
    except LabelError as error:
        if repr(path) not in str(error):
            raise
        return "refused"
    if labels.dtype != np.uint8 or labels.max() > 2:
        return "silent"
    return "right" if np.array_equal(labels, PHOTO[..., 0] % 3) else "valid"


def _attempt_array(array, allowed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            load_image(array)
        except ValueError as error:
            outcome = "refused" if "An image array" in str(error) else "silent"
        else:
            outcome = "warned" if any("nearly black" in str(warning.message) for warning in caught) else "silent"
    return outcome if outcome == allowed else "silent"


def _as(mode):
    """Returns the photo in a mode of Pillow."""
    grey = PHOTO[..., 0]
    numbers = {"I;16": grey.astype("uint16") * 257, "I": grey.astype("int32") * 257, "F": grey.astype("float32")}
    return Image.fromarray(numbers[mode]) if mode in numbers else Image.fromarray(PHOTO).convert(mode)


def _encode(image, file_format, options):
    """Returns the bytes of a file, or `None` if this Pillow cannot write it."""
    file = io.BytesIO()
    try:
        image.save(file, file_format, **options)
    except Exception:  # of many types, of EXIF that is damaged
        return None
    return file.getvalue()


def _flip(encoded, random, stop):
    encoded = bytearray(encoded)
    for place in random.integers(min(stop, len(encoded)), size=random.integers(1, 9)):
        encoded[place] ^= 1 << random.integers(8)
    return bytes(encoded)


def _resize(encoded, random):
    """Writes another height or width wherever the header may have them, and a PNG's checksum after it."""
    old = random.choice([HEIGHT, WIDTH])
    new = int(random.choice([0, 1, old - 1, old + 1, 2 * old, 1000, 32_767, 65_535, 2**31 - 1, 2**32 - 1]))
    head, rest = encoded[:700], encoded[700:]
    for form in ("<I", ">I", "<H", ">H"):
        head = head.replace(struct.pack(form, old), struct.pack(form, new % 2 ** (8 * struct.calcsize(form))))
    head = re.sub(rb"\b%d\b" % old, b"%d" % new, head) if encoded[:1] == b"P" else head
    encoded = head + rest
    if encoded.startswith(b"\x89PNG"):
        encoded = encoded[:29] + struct.pack(">I", zlib.crc32(encoded[12:29])) + encoded[33:]
    return encoded


def _png_bomb(wrong, random):
    """Returns a PNG with a chunk too many: a text of megabytes in a few bytes, or what a chunk must not hold."""
    encoded = _encode(Image.fromarray(PHOTO), "PNG", {})
    zeros = ZEROS[random.integers(len(ZEROS))]
    if wrong == "PNG with a text bomb":
        name, content = [(b"zTXt", b"key\0\0" + zeros), (b"iTXt", b"key\0\1\0\0\0" + zeros)][random.integers(2)]
        count = random.choice([1, 80])
    else:
        name = random.choice(["iCCP", "pHYs", "gAMA", "cHRM", "tRNS", "PLTE", "eXIf", "acTL", "fcTL", "a"])
        name = name.encode().ljust(4)
        content, count = random.bytes(random.integers(0, 60)), 1
        content = b"key\0\0" + zeros if name == b"iCCP" and random.random() < 0.5 else content
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    place = 33 if random.random() < 0.5 else len(encoded) - 12  # behind the header, or before the end
    return encoded[:place] + chunk * count + encoded[place:]


def _with_exif(random):
    """Returns a file whose EXIF is damaged, the ending of its name, and the photo as it is stored."""
    ending = random.choice(WITH_EXIF)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 1, "a picture", {0x829A: 0.01}
    exif = bytearray(exif.tobytes())
    damage = random.integers(5)
    if damage == 0:
        exif = exif[: random.integers(6, len(exif))]
    elif damage == 1:
        exif[6:] = random.bytes(len(exif) - 6)
    elif damage == 2:  # the type or the count of an entry
        exif[16 + 12 * int(random.integers(3)) + 2 :][:6] = random.bytes(6)
    elif damage == 3:
        for place in random.integers(6, len(exif), 3):
            exif[place] = random.integers(256)
    else:
        exif[10:14] = struct.pack("<I", int(random.choice([0, 4, 2**31, 2**32 - 1])))
    file_format = FORMATS[ending][0]
    encoded = _encode(Image.fromarray(PHOTO), file_format, {"exif": bytes(exif)})
    plain = _encode(Image.fromarray(PHOTO), file_format, {})
    return encoded or plain, ending, load_image(io.BytesIO(plain))


def _wrong_range(random):
    """Returns a TIFF or PNG whose numbers are not on the scale of their type, its ending, and what may come of it."""
    grey = PHOTO[..., 0]
    images, refused = (
        {
            "from 0 to 1": grey / np.float32(255),
            "8 bits in 16": grey.astype("uint16"),
            "12 bits in 16": grey.astype("uint16") * 16,
            "8 bits in 32": grey.astype("int32"),
        },
        {
            "32 bits": grey.astype("int32") << 22,
            "below 0": -grey.astype("float32"),
            "below 0, whole": -grey.astype("int32"),
            "above 255": 3 * grey.astype("float32"),
            "NaN": np.where(grey > 99, np.nan, grey).astype("float32"),
            "infinite": np.where(grey > 99, np.inf, grey).astype("float32"),
        },
    )
    name = random.choice([*images, *refused])
    image = Image.fromarray({**images, **refused}[name])
    png = image.mode == "I;16" and random.random() < 0.5
    encoded = _encode(image, "PNG" if png else "TIFF", {})
    return encoded, "png" if png else "tif", ("refused",) if name in refused else ("warned", "refused")


def _wrong_array(random):
    """Returns an array that is no image, and what must come of it."""
    refused = [
        np.zeros((2, 4, 4, 3), "uint8"),
        PHOTO.transpose(2, 0, 1),
        PHOTO[:0],
        PHOTO[..., :2],
        np.uint8(3),
        PHOTO.astype("int64"),
        PHOTO.astype("complex64"),
        PHOTO.astype(object),
        PHOTO.astype("float32") * 2,
        PHOTO / 127.5 - 1,
        np.where(PHOTO > 50, np.nan, PHOTO),
        np.where(PHOTO > 50, np.inf, PHOTO),
        np.array("photo"),
        b"\xff\xd8\xff",
        None,
    ]
    dark = [PHOTO / 255, (PHOTO / 255).astype("float16"), PHOTO.astype("uint16"), PHOTO[..., 0].astype("uint16") * 16]
    index = random.integers(len(refused) + len(dark))
    return ([*refused, *dark][index], "refused" if index < len(refused) else "warned")
