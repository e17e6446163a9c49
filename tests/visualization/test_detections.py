"""Pictures of boxes and masks: blended colour, outline, order, names."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from keras_mambaout.visualization import draw_detections, hue_color
from keras_mambaout.visualization.detections import MASK_OPACITY, erode

pytestmark = pytest.mark.no_backend

PHOTO = np.full((60, 80, 3), 100, "uint8")
BOXES = np.array([[30.0, 20, 50, 40], [30, 20, 50, 40]])


def masks_of(*slices):
    masks = np.zeros((len(slices), *PHOTO.shape[:2]), bool)
    for mask, (rows, columns) in zip(masks, slices, strict=True):
        mask[rows, columns] = True
    return masks


def blend(color, under=100):
    return np.round((1 - MASK_OPACITY) * under + MASK_OPACITY * np.array(color))


def test_a_mask_is_blended_and_outlined():
    """Below the box and beside it, so that neither box nor name cover it; the outline is 2 pixels wide."""
    masks = masks_of((slice(45, 60), slice(10, 30)))
    plain = draw_detections(PHOTO, BOXES[:1], [3], class_names=list("abcd"))
    picture = draw_detections(PHOTO, BOXES[:1], [3], class_names=list("abcd"), masks=masks)
    color = hue_color(3)
    np.testing.assert_array_equal(picture[47:58, 12:28], np.broadcast_to(blend(color), (11, 16, 3)))
    outline = masks[0].copy()
    outline[47:58, 12:28] = False
    np.testing.assert_array_equal(picture[outline], np.broadcast_to(color, (outline.sum(), 3)))
    np.testing.assert_array_equal(picture[~masks[0]], plain[~masks[0]])


def test_the_best_is_on_top():
    masks = masks_of((slice(45, 60), slice(10, 30)), (slice(45, 60), slice(0, 40)))
    picture = draw_detections(PHOTO, BOXES, [0, 1], masks=masks)
    assert tuple(picture[46, 11]) == hue_color(0)  # its outline, over the other mask
    np.testing.assert_array_equal(picture[50, 20], blend(hue_color(0), blend(hue_color(1))))


def test_padding_has_no_mask_and_photos_stay_as_they_are():
    before = PHOTO.copy()
    np.testing.assert_array_equal(
        draw_detections(PHOTO, BOXES[:1], [-1], masks=masks_of((slice(0, 60), slice(0, 80)))), PHOTO
    )
    draw_detections(PHOTO, BOXES[:1], [1], masks=masks_of((slice(0, 60), slice(0, 80))))
    np.testing.assert_array_equal(PHOTO, before)
    assert draw_detections(PHOTO, np.zeros((0, 4)), [], masks=np.zeros((0, 60, 80), bool)).shape == PHOTO.shape


def test_masks_of_another_size():
    with pytest.raises(ValueError, match=r"must be of shape \(1, 60, 80\), .* got \(1, 28, 28\)"):
        draw_detections(PHOTO, BOXES[:1], [0], masks=np.ones((1, 28, 28)))


def test_confidence_stands_behind_the_name():
    plain, named = (draw_detections(PHOTO, BOXES[:1], [1], *more) for more in ((), (None, ["a", "1"])))
    np.testing.assert_array_equal(plain, named)
    sure, unsure = (draw_detections(PHOTO, BOXES[:1], [1], confidence) for confidence in ([0.93], [0.61]))
    color = (plain == hue_color(1)).all(-1)
    assert (sure == hue_color(1)).all(-1).sum() > color.sum() and (sure != unsure).any()


def test_outlines_are_as_wide_on_a_slope_and_where_the_image_ends():
    """In each row `steps` pixels at the slope, where Pillow's filter takes twice as many and none at the borders."""
    mask = np.tri(40, dtype=bool)
    steps = 3
    outline = mask & ~erode(mask, steps)
    rows = outline[12:28]  # far from the corners
    assert (rows[:, :steps].sum(1) == steps).all() and (rows[:, steps:].sum(1) == steps).all()
    assert outline[-steps:].sum() == sum(range(40 - steps + 1, 41))
    pillow = mask & (np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(2 * steps + 1))) == 0)
    assert (pillow[12:28].sum(1) == 2 * steps).all() and not pillow[12:28, :steps].any()
