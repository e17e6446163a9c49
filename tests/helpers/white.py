"""Images with one white rectangle, and a detector that finds it, with its mask."""

import json

import keras
import numpy as np
from keras import ops
from PIL import Image

# left, top, width, height of the white rectangle on each image
RECTANGLES = [(6, 4, 30, 20), (20, 10, 25, 25), (2, 3, 40, 31), (16, 8, 8, 12)]


def write(folder):
    """Writes black images of 48 x 64 with one white rectangle, of the class `white`, 7 among the category ids.

    Returns the arguments of `CocoDataset.from_json`.
    """
    images, annotations = [], []
    for number, (left, top, width, height) in enumerate(RECTANGLES):
        image = np.zeros((48, 64, 3), "uint8")
        image[top : top + height, left : left + width] = 255
        Image.fromarray(image).save(folder / f"{number}.png")
        images.append({"id": 10 + number, "file_name": f"{number}.png", "width": 64, "height": 48})
        right, bottom = left + width, top + height
        corners = [left, top, right, top, right, bottom, left, bottom]
        box = {"bbox": [left, top, width, height], "segmentation": [corners]}
        annotations.append({"id": number, "image_id": 10 + number, "category_id": 7, **box})
    categories = [{"id": 2, "name": "black"}, {"id": 7, "name": "white"}]
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path, folder


@keras.saving.register_keras_serializable("tests")
class FindsWhite(keras.Model):
    """Returns the box around what is white, moved by `shift` of its width, and padding in a second row.

    The mask is the upper `filled` of the box.
    """

    num_classes = 2
    finds_masks = True

    def __init__(self, bounding_box_format="xyxy", shift=0.0, filled=1.0, takes_sizes=False, **kwargs):
        super().__init__(**kwargs)
        self.bounding_box_format, self.shift, self.filled = bounding_box_format, shift, filled
        self.takes_sizes = takes_sizes

    def call(self, inputs):
        images = inputs["images"] if self.takes_sizes else inputs
        height, width = images.shape[1:3]
        white = ops.cast(ops.min(images, -1) > 200, "int32")  # (B, H, W)
        columns, rows = ops.max(white, 1), ops.max(white, 2)
        edges = [
            ops.argmax(columns, -1),
            ops.argmax(rows, -1),
            width - ops.argmax(ops.flip(columns, -1), -1),
            height - ops.argmax(ops.flip(rows, -1), -1),
        ]
        left, top, right, bottom = (ops.cast(edge, "float32") for edge in edges)
        move = self.shift * (right - left)
        box = ops.stack([left + move, top, right + move, bottom], -1)  # (B, 4)
        boxes = ops.stack([box, ops.zeros_like(box)], 1)
        boxes = keras.utils.bounding_boxes.convert_format(
            boxes, source="xyxy", target=self.bounding_box_format, height=height, width=width
        )
        found = ops.broadcast_to(ops.convert_to_tensor([[1.0, -1.0]]), ops.shape(boxes)[:2])
        mask = ops.cast(ops.arange(28) < round(28 * self.filled), "float32")[:, None]
        masks = ops.broadcast_to(mask, (*ops.shape(found), 28, 28))
        return {"boxes": boxes, "confidence": found, "labels": found, "masks": masks}

    def get_config(self):
        config = {"bounding_box_format": self.bounding_box_format, "shift": self.shift, "filled": self.filled}
        return {**super().get_config(), **config, "takes_sizes": self.takes_sizes}
