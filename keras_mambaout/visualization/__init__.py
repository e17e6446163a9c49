"""Pictures: arrays in, a picture out."""

from keras_mambaout.visualization.detections import draw_detections
from keras_mambaout.visualization.palette import color_label_map, distinct_colors, hue_color
from keras_mambaout.visualization.grid import make_grid, make_legend, make_tile, make_title, resize_to_fit, side_by_side

__all__ = [
    "draw_detections",
    "color_label_map",
    "distinct_colors",
    "hue_color",
    "make_grid",
    "make_legend",
    "make_tile",
    "make_title",
    "resize_to_fit",
    "side_by_side",
]
