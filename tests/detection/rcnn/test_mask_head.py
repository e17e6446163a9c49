"""The head of masks."""

import keras
import numpy as np
from keras import ops

from keras_mambaout.detection.rcnn.mask_head import MaskHead


def test_masks_of_one_class_are_those_among_all():
    head = MaskHead(num_classes=5, channels=8)
    head.build((None, None, 6, 6, 8))
    head.masks.bias.assign(np.arange(5.0))
    random = np.random.default_rng(0)
    features, classes = random.normal(size=(2, 3, 6, 6, 8)).astype("float32"), random.integers(0, 5, (2, 3))
    own = ops.convert_to_numpy(head(features, classes=classes))
    masks = ops.convert_to_numpy(head(features))
    assert masks.shape == (2, 3, 12, 12, 5) and own.shape == masks.shape[:-1]
    symbols = keras.Input((3, 6, 6, 8)), keras.Input((3,), dtype="int32")
    assert head(symbols[0]).shape == (None, *masks.shape[1:]) and head(*symbols).shape == (None, *own.shape[1:])
    expected = np.take_along_axis(masks, classes[..., None, None, None], axis=-1)[..., 0]
    np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5)
