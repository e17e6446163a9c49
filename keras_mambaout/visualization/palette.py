"""The colours that classes are shown in."""

import numpy as np

LEVELS = 9  # of red, green and blue, which colours are chosen from
DARKEST = 25.0  # lightness L* of CIELAB: what is darker looks like the black of pixels that do not count
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of linear sRGB
WHITE = TO_XYZ.sum(axis=1)


def distinct_colors(count):
    """Returns colours that look as different as they can, none of them nearly black, always the same ones.

    The first is red; each further one is the colour whose nearest among those before is the farthest away, by the
    distance in CIELAB. So more classes do not change the colours of the first.

    Args:
        count: How many, at most 255.

    Returns:
        An array `(count, 3)`, uint8, RGB.

    Source: [Glasbey et al., Colour displays for categorical images](https://doi.org/10.1002/col.20327)
    """
    steps = np.linspace(0, 255, LEVELS)
    candidates = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(candidates)
    candidates, lab = candidates[lab[:, 0] > DARKEST], lab[lab[:, 0] > DARKEST]
    chosen = [int(np.argmin(np.abs(candidates - (255, 0, 0)).sum(axis=1)))]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.round(candidates[chosen]).astype("uint8")


def _lab(rgb):
    """Returns sRGB colours `(N, 3)`, 0-255, in CIELAB, under daylight (D65)."""
    share = rgb / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    x, y, z = np.moveaxis(linear @ TO_XYZ.T / WHITE, -1, 0)
    x, y, z = (np.where(value > 0.008856, np.cbrt(value), 7.787 * value + 16 / 116) for value in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
