"""RandAugment's operations: functions of the layer, images `(1, H, W, 3)`, a strength 0 to 1 and a sign 1 or -1."""

import functools
import math

from keras_mambaout.preprocessing.replacing import replace


def _auto_contrast(layer, images, strength, sign):
    ops = layer.backend.numpy
    low, high = (extreme(images, axis=(1, 2), keepdims=True) for extreme in (ops.min, ops.max))
    flat = high <= low  # which leaves nothing to stretch
    scale = 255.0 / ops.where(flat, 255.0, high - low)
    return ops.clip(images * scale + ops.where(flat, 0.0, -low * scale), 0.0, 255.0)


def _equalize(layer, images, strength, sign):
    ops = layer.backend.numpy
    levels = layer.backend.cast(ops.round(images), "int32") + 256 * ops.arange(3, dtype="int32")  # (1, H, W, 3)
    flat = ops.reshape(levels, (-1,))
    histogram = ops.reshape(layer.backend.math.segment_sum(ops.ones_like(flat), flat, 3 * 256), (3, 256))
    below = ops.cumsum(histogram, axis=1) - histogram  # pixels of lower levels
    step = ops.max(ops.where(histogram > 0, below, 0), axis=1, keepdims=True) // 255
    table = ops.clip((below + step // 2) // ops.maximum(step, 1), 0, 255)
    table = ops.where(step > 0, table, ops.arange(256, dtype="int32"))
    return layer.backend.cast(ops.take(ops.reshape(table, (-1,)), levels), images.dtype)


def _posterize(layer, images, strength, sign):
    ops = layer.backend
    dropped = ops.numpy.minimum(4.0 + ops.numpy.floor(4.0 * strength), 7.0)
    return layer.random_posterization.transform_images(images, {"shift_factor": ops.cast(dropped, "uint8")[None]})


def _solarize(layer, images, strength, sign):
    threshold = 256.0 - layer.backend.numpy.floor(256.0 * strength)
    return replace(images, 255.0 - images, layer.backend.cast(images >= threshold, images.dtype))


def _solarize_add(layer, images, strength, sign):
    ops = layer.backend.numpy
    brighter = ops.minimum(images + ops.floor(110.0 * strength), 255.0)
    return replace(images, brighter, layer.backend.cast(images < 128.0, images.dtype))


def _color(layer, images, strength, sign):
    return layer.random_color_degeneration.transform_images(images, {"factor": -0.9 * sign * strength})


def _contrast(layer, images, strength, sign):
    grey = layer.backend.image.rgb_to_grayscale(images, data_format="channels_last")
    mean = layer.backend.numpy.round(layer.backend.numpy.mean(grey))
    return layer.backend.numpy.clip(mean + (1.0 + 0.9 * sign * strength) * (images - mean), 0.0, 255.0)


def _brightness(layer, images, strength, sign):
    return layer.backend.numpy.clip((1.0 + 0.9 * sign * strength) * images, 0.0, 255.0)


def _sharpness(layer, images, strength, sign):
    ops = layer.backend.numpy
    inner = images[:, 1:-1, 1:-1]
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    smooth = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4.0 * inner) / 13.0
    change = -0.9 * sign * strength * (smooth - inner)
    return ops.clip(images + ops.pad(change, ((0, 0), (1, 1), (1, 1), (0, 0))), 0.0, 255.0)  # not of the border


def _rotate(layer, images, strength, sign):
    ops = layer.backend
    _, height, width, _ = ops.shape(images)
    x, y = ops.cast(width, images.dtype) / 2, ops.cast(height, images.dtype) / 2
    angle = sign * strength * math.radians(30.0)
    cos, sin = ops.numpy.cos(angle), ops.numpy.sin(angle)
    return _move(layer, images, (cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos))


def _translate(layer, images, strength, sign, x=0.0, y=0.0):
    _, height, width, _ = (layer.backend.cast(side, images.dtype) for side in layer.backend.shape(images))
    shift = 0.45 * sign * strength
    return _move(layer, images, (1.0, 0.0, x * shift * width, 0.0, 1.0, y * shift * height))


def _shear(layer, images, strength, sign, x=0.0, y=0.0):
    shear = 0.3 * sign * strength
    return _move(layer, images, (1.0, x * shear, 0.0, y * shear, 1.0, 0.0))


def _move(layer, images, matrix):
    """Samples `images` at `x' = a x + b y + c`, `y' = d x + e y + f`; pixels' centres are at 0.5, 1.5, ..."""
    ops = layer.backend
    a, b, c, d, e, f = matrix
    matrix = (a, b, c + (a + b - 1.0) / 2.0, d, e, f + (d + e - 1.0) / 2.0, 0.0, 0.0)  # centres at 0, 1, ...
    matrix = ops.numpy.stack([ops.cast(value, "float32") for value in matrix])
    shape = ops.shape(images)
    color = ops.numpy.tile(ops.convert_to_tensor(layer.fill_color, images.dtype), (shape[2],))
    rows = (shape[0], shape[1], shape[2] * shape[3])  # adding to whole rows takes less time than to pixels
    moved = ops.image.affine_transform(
        ops.numpy.reshape(ops.numpy.reshape(images, rows) - color, shape),
        matrix,
        layer.interpolation,
        "constant",
        0.0,
        data_format="channels_last",
    )
    return ops.numpy.reshape(ops.numpy.reshape(moved, rows) + color, shape)


OPERATIONS = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": lambda layer, images, strength, sign: 255.0 - images,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": functools.partial(_shear, x=1.0),
    "shear_y": functools.partial(_shear, y=1.0),
    "translate_x": functools.partial(_translate, x=1.0),
    "translate_y": functools.partial(_translate, y=1.0),
}
