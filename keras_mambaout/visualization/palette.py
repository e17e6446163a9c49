"""The colours that classes are shown in."""

import colorsys

import numpy as np

# made by tests/fixtures/make_distinct_colors.py
DISTINCT_COLORS = """
ff0000 0000ff 00ff00 409fbf df209f dfbf40 00ffbf 0060df 006000 802020 ffbfbf df20ff df9fff 404040 dfffbf dfff00 ff0060
bf6000 60bf20 604080 209f80 80009f 80ffff 808040 009fff bf6080 00ff80 0020bf dfff80 df9f60 dfdfff 800060 ff9f00 9f60ff
bf2020 604000 9f9f9f 80df80 00609f ff8060 9f9fdf 809f20 bf0060 206040 ffdf00 df60df 009f40 ffdf9f 8000df 9fff40 9f6040
606080 9f8000 ff80bf ff6000 ff20df 9f60bf 208080 9fbf9f 40dfbf ff6080 bf9f80 80dfff 40bfbf 806060 dfffff 00bf80 004060
8080df 60bfff 40409f 609f60 9fffbf bfbf60 804060 606040 bf9fbf bf8080 bf80bf bf80ff 40df20 0040ff ffbfff 406020 ff2040
9fbf00 800040 6040bf 4060ff 602080 ff9fbf ffffdf bf0040 ffff60 bf00bf ffff9f bfffdf ffbf00 00df80 804040 ff0080 00bf40
0060bf 9f4020 ffbf60 9fdf60 008040 404000 8080ff 606000 bf6060 ff9f80 ff6040 bf409f 80ff80 9fbfdf 608020 ff8080 9fbf80
bf4040 bf4080 608060 ff6060 df9f20 ff80df bfff9f bf4000 ffbf9f 9fdfdf 406060 bf4060 208000 804000 df60ff 806000 609f40
ff9f40 ff9f9f 9f9f00 ff8000 bfff60 dfdf60 bf8020 6080bf ff8040 ff809f 808000 bf809f 204080 ffdf80 806040 800000 ffbfdf
ffdfdf 8000bf 800080 9f8040 bf609f 9fdf00 ff409f 6040df 60809f ffdfbf 9f40bf 80ff00 00bfdf bfdf80 8000ff 4000df ff9fdf
ff00bf 60ff60 df8040 60609f 609f9f 604060 dfbf00 bf9f40 006080 dfdf00 009f00 bf009f 609f00 bfbf00 ff60bf df2000 9f0040
00dfdf 9fbfff df0060 bf40ff df6000 9fbfbf df0040 9f9f80 809fff 9f0060 404020 0040bf 609f80 9f0020 9fdf9f df8000 0080ff
9f2000 0080bf ffff00 ff609f 60bf9f 60bf80 604020 00ffdf 9f0080 604040 8040ff 404060 2080df 80ff9f dfdf9f 804020 60df9f
609fdf bf9f9f 608080 bfdf00 80ffdf df00df 608040 208060 9f409f 9f6020 bfff00 806080 804080 bf9f00 40ff40 6060bf 006060
8060df dfff60 bf8060 606060 20bf00 9f6060 808060 bf6040 9f9f60 40209f 9f009f 00809f 9f4040 9f6080 009f60 809f40 9f4000
"""
GOLDEN_RATIO = 0.618034  # steps of hue that keep neighbouring classes apart


def distinct_colors(count: int) -> np.ndarray:
    """Returns colours that look as different as they can, none of them nearly black, always the same ones.

    The first is red; each one after it is the colour that is farthest, in CIELAB, from the nearest of those before it.
    So more classes do not change the colours of the first ones.

    Args:
        count: How many, from 1 to 255.

    Returns:
        An array `(count, 3)`, uint8, RGB.

    Raises:
        ValueError: If `count` is not from 1 to 255.

    Example:
    ```python
    palette = distinct_colors(21)
    picture = color_label_map(labels, palette)
    ```

    Source: [Glasbey et al., Colour displays for categorical images](https://doi.org/10.1002/col.20327)
    """
    colors = np.frombuffer(bytes.fromhex(DISTINCT_COLORS), "uint8").reshape(-1, 3)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(colors):
        raise ValueError(
            f"`count` must be an integer from 1 to {len(colors)}, got {count!r}. Give more classes your own palette."
        )
    return colors[:count].copy()


def hue_color(index: int) -> tuple[int, int, int]:
    """Returns the colour of a class for text and lines, all of one strength: `hue = index * golden ratio mod 1`.

    It has no end: any number of classes have colours, white letters can be read on them, and they stand out on photos.
    """
    hue = index * GOLDEN_RATIO % 1.0
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.85, 0.75))
    return red, green, blue


def color_label_map(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Returns a label map in colours.

    Args:
        labels: Integers `(H, W)`, from 0 to 255.
        palette: `(K, 3)`, uint8, RGB, the colour of each class, K at most 256. Pixels of K and more are black.

    Returns:
        A picture `(H, W, 3)`, uint8.
    """
    colors = np.zeros((256, 3), "uint8")
    colors[: len(palette)] = palette
    return colors[labels]
