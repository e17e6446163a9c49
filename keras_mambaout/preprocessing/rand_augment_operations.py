"""RandAugment's operations: functions of the layer, images `(1, H, W, 3)`, a strength 0 to 1 and a sign 1 or -1."""

import functools
import math


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
    return layer.solarization.transform_images(images, {"additions": 0.0, "thresholds": threshold})


def _solarize_add(layer, images, strength, sign):
    ops = layer.backend.numpy
    brighter = ops.minimum(images + ops.floor(110.0 * strength), 255.0)
    return ops.where(images < 128.0, brighter, images)


def _color(layer, images, strength, sign):
    return layer.random_color_degeneration.transform_images(images, {"factor": -0.9 * sign * strength})


def _contrast(layer, images, strength, sign):
    grey = layer.backend.image.rgb_to_grayscale(images, data_format="channels_last")
    mean = layer.backend.numpy.round(layer.backend.numpy.mean(grey))
    return layer.backend.numpy.clip(mean + (1.0 + 0.9 * sign * strength) * (images - mean), 0.0, 255.0)


def _brightness(layer, images, strength, sign):
    return layer.backend.numpy.clip((1.0 + 0.9 * sign * strength) * images, 0.0, 255.0)


def _sharpness(layer, images, strength, sign):
    factor = (1.0 + 0.9 * sign * strength) / 2.0  # 0.5 is Keras' for no change
    change = layer.random_sharpness.transform_images(images, {"factor": factor}) - images
    # Keras smooths the border with the black around it, Pillow leaves it.
    inside = layer.backend.numpy.pad(change[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1), (0, 0)))
    return images + inside


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
    color = ops.convert_to_tensor(layer.fill_color, images.dtype)
    moved = ops.image.affine_transform(
        images - color, matrix, layer.interpolation, "constant", 0.0, data_format="channels_last"
    )
    return moved + color


OPERATIONS = {
    "auto_contrast": lambda layer, images, strength, sign: layer.auto_contrast.transform_images(images),
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
