"""Seeded tensors and images, the same ones when fixtures are made and when tests run.

`numpy.random.RandomState` is used because its stream is frozen for good.
"""

import zlib

import numpy as np


def tensor(name, shape):
    """Non-trivial values for a tensor of the published layout, of a size that keeps activations sane."""
    draw = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape).astype("float32")
    draw = (2.0 * draw - 1.0) * np.float32(3.0**0.5)  # mean 0, standard deviation 1
    if len(shape) > 1:
        return draw / np.float32(np.prod(shape[1:])) ** np.float32(0.5)
    if name.endswith(".ls.gamma"):
        return np.float32(0.5) + np.float32(0.2) * draw
    if name.endswith(".weight"):  # of a norm
        return np.float32(1.0) + np.float32(0.2) * draw
    return np.float32(0.1) * draw


def state(shapes):
    """Tensors for `{published name: shape}`."""
    return {name: tensor(name, tuple(shape)) for name, shape in shapes.items()}


def images(batch, height, width, channels=3):
    """Normalised images `(B, H, W, C)`, float32."""
    return np.random.RandomState(height * 1000 + width).standard_normal((batch, height, width, channels)).astype("f4")


def sample(array, size=2048):
    """At most `size` values of an array at seeded places, so that a fixture stays small."""
    flat = np.asarray(array).reshape(-1)
    if flat.size <= size:
        return flat
    return flat[np.random.RandomState(flat.size % 2**32).randint(0, flat.size, size)]


def photo(height, width):
    """A picture with smooth parts, edges and noise, uint8 `(H, W, 3)`."""
    y, x = np.mgrid[:height, :width].astype("float64")
    waves = [127 + 100 * np.sin(x / (7 + 3 * c) + y / (11 - 2 * c)) for c in range(3)]
    picture = np.stack(waves, axis=-1)
    picture[height // 4 : height // 2, width // 3 : width // 2] = (250, 10, 30)
    picture += np.random.RandomState(height + width).random_sample(picture.shape) * 40 - 20
    return np.clip(picture, 0, 255).astype("uint8")
