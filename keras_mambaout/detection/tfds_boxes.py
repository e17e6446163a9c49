"""Data sets with boxes of TensorFlow Datasets: `coco/2017`, `voc/2007` and others with the same features."""

import io
import os
from typing import Any

import numpy as np
from PIL import Image

from keras_mambaout.data.progress import progress_bar
from keras_mambaout.data.tfds import TfdsRecords, find_builder, prepare
from keras_mambaout.preprocessing.reading import readable_formats

SHUFFLE_BUFFER = 1024  # encoded images, about 150 MB of COCO's
OPTIONAL = ("image/id", "image/filename")  # features
IGNORED = ("is_crowd", "is_difficult")  # flags of objects that are neither to be found nor to be missed


def read_tfds(
    name: str, split: str, data_dir: str | os.PathLike | None, verbose: str | int
) -> tuple[dict, "TfdsPhotos"]:
    """Returns the labels of a split in COCO's format and its images; images are not decoded for it."""
    builder = find_builder(name, data_dir, ". Data sets with boxes are 'coco/2017', 'voc/2007', 'voc/2012'")
    _check_features(name, builder.info.features)
    prepare(builder)
    features = builder.info.features
    label = features["objects"].feature["label"]  # COCO's has its names only now
    keys = ("image", "objects", *(key for key in OPTIONAL if key in features))
    photos = TfdsPhotos(builder, split, keys, SHUFFLE_BUFFER)
    ground_truth = {
        "images": [],
        "annotations": [],
        "categories": [{"id": index + 1, "name": text} for index, text in enumerate(_names(label))],
    }
    update = progress_bar(len(photos), verbose, "image")
    samples = photos.samples(np.arange(len(photos)))
    labels = samples.map(lambda index, file, row, record: _without_pixels(photos.deserialize(record)))
    for index, sample in enumerate(labels.as_numpy_iterator()):
        _add(ground_truth, int(sample.get("image/id", index + 1)), sample)
        update(index + 1)
    return ground_truth, photos


class TfdsPhotos(TfdsRecords):
    """The images of a split, decoded by TensorFlow Datasets, as the boxes were made for: EXIF rotates none."""

    def __init__(self, builder: Any, *args: Any) -> None:
        super().__init__(builder, *args)
        self._image = builder.info.features["image"]

    def load(self, file: bytes, row: int, image: bytes) -> np.ndarray:
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        import tensorflow as tf

        try:
            decoded = self._image.decode_example(tf.constant(image))
        except tf.errors.OpError as error:
            name = self.name(file, row)
            raise ValueError(f"{name!r} is not a readable image, it may be damaged: {error}") from error
        return (tf.image.grayscale_to_rgb(decoded) if self._image.shape[-1] == 1 else decoded).numpy()


def _check_features(name, features):
    objects = getattr(features["objects"], "feature", {}) if "objects" in features else {}
    if "image" not in features or "bbox" not in objects or "label" not in objects:
        raise ValueError(
            f"The data set {name!r} must have the features 'image' and 'objects' with 'bbox' and 'label', it has "
            f"{', '.join(map(repr, sorted(features)))}. Data sets with boxes are 'coco/2017', 'voc/2007', 'voc/2012'."
        )


def _names(label):
    return label.names if label.names else [str(index) for index in range(label.num_classes)]


def _without_pixels(sample):
    """Replaces the encoded image of a sample by its height and width."""
    import tensorflow as tf

    return {**sample, "shape": tf.numpy_function(_size, [sample.pop("image")], tf.int64)}


def _size(encoded):
    """Returns the height and width of an encoded image, from its header.

    Those of a damaged one are 1 and 1: it stays in the data set until it is read, and is left out then, as all are.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=readable_formats()) as image:
            return np.array(image.size[::-1], "int64")
    except Exception:  # Pillow's errors are of many types
        return np.ones(2, "int64")


def _add(ground_truth, image_id, sample):
    """Adds the labels of a sample to lists in COCO's format."""
    height, width = (int(side) for side in sample["shape"])
    image = {"id": image_id, "width": width, "height": height}
    if "image/filename" in sample:
        image["file_name"] = sample["image/filename"].decode()
    ground_truth["images"].append(image)
    objects, annotations = sample["objects"], ground_truth["annotations"]
    boxes = objects["bbox"].astype("float64") * (height, width, height, width)
    ignored = np.any([objects[flag] for flag in IGNORED if flag in objects] or np.zeros((1, len(boxes)), bool), axis=0)
    for row, (top, left, bottom, right) in enumerate(boxes.tolist()):
        area = (bottom - top) * (right - left)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": int(objects["label"][row]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": float(objects["area"][row]) if "area" in objects else area,
                "iscrowd": int(ignored[row]),
                "ignore": int(ignored[row]),
            }
        )
