"""Data sets with boxes of TensorFlow Datasets: `coco/2017`, `voc/2007` and others with the same features."""

import os

import numpy as np

from keras_mambaout.data.tfds import find_builder
from keras_mambaout.extras import import_extra, progress_bar

SHUFFLE_BUFFER = 1024  # encoded images, about 150 MB of COCO's
IGNORED = ("is_crowd", "is_difficult")  # flags of objects that are neither to be found nor to be missed


def read_tfds(name, split, data_dir, verbose):
    """Returns the labels of a split in COCO's format and its images; images are not decoded for it."""
    builder = find_builder(name, data_dir, ". Data sets with boxes are 'coco/2017', 'voc/2007', 'voc/2012'")
    _check_features(name, builder.info.features)
    builder.download_and_prepare()
    label = builder.info.features["objects"].feature["label"]  # COCO's has its names only now
    images = TfdsImages(builder, {})
    samples = images.read(split, shuffle=False, seed=None)
    ground_truth = {
        "images": [],
        "annotations": [],
        "categories": [{"id": index + 1, "name": text} for index, text in enumerate(_names(label))],
    }
    update = progress_bar(len(samples), verbose, "image")
    for index, sample in enumerate(samples.map(_without_pixels).as_numpy_iterator()):
        image_id = int(sample.get("image/id", index + 1))
        images.keys[sample["tfds_id"]] = image_id
        _add(ground_truth, image_id, sample)
        update(index + 1)
    return ground_truth, images


class TfdsImages:
    """The images of a split of TensorFlow Datasets, read in order, shuffled, or by id.

    Args:
        builder: A prepared `tfds.core.DatasetBuilder`.
        keys: `{tfds_id: image id}`; a `tfds_id` is TensorFlow Datasets' own name of a sample.
    """

    def __init__(self, builder, keys):
        self.builder, self.keys = builder, keys

    def load(self, image_id):
        """Returns an image as RGB, uint8, `(H, W, 3)`."""
        return next(iter(self.stream([image_id], shuffle=False, seed=None)))[1].numpy()

    def stream(self, image_ids, shuffle, seed):
        """Returns a `tf.data.Dataset` of ids and images, in the order of `image_ids` or shuffled anew each epoch."""
        import tensorflow as tf

        decoder = self.builder.info.features["image"]
        wanted = set(image_ids)
        keys = {key: image_id for key, image_id in self.keys.items() if image_id in wanted}

        def find(sample):
            image_id = tf.numpy_function(lambda key: np.int64(keys.get(key, -1)), [sample["tfds_id"]], tf.int64)
            return tf.ensure_shape(image_id, ()), sample["image"]

        def decode(image_id, encoded):
            image = tf.ensure_shape(decoder.decode_example(encoded), (None, None, None))
            return image_id, tf.image.grayscale_to_rgb(image) if decoder.shape[-1] == 1 else image

        samples = self.read(self._instructions(keys, image_ids), shuffle, seed).map(find)
        samples = samples.filter(lambda image_id, encoded: image_id >= 0)
        samples = samples.apply(tf.data.experimental.assert_cardinality(len(image_ids)))
        if shuffle:
            buffer = min(len(image_ids), SHUFFLE_BUFFER)
            samples = samples.shuffle(buffer, seed=seed, reshuffle_each_iteration=True)
        return samples.map(decode, num_parallel_calls=tf.data.AUTOTUNE)

    def read(self, split, shuffle, seed):
        """Returns the samples with images as encoded bytes; without shuffling in the order of the files."""
        tfds = import_extra("tensorflow_datasets", "data")
        config = tfds.ReadConfig(
            add_tfds_id=True,
            try_autocache=False,
            shuffle_seed=seed,
            interleave_cycle_length=16 if shuffle else 1,
            enable_ordering_guard=False,
        )
        skip = {"image": tfds.decode.SkipDecoding()}
        return self.builder.as_dataset(split=split, decoders=skip, read_config=config, shuffle_files=shuffle)

    def _instructions(self, keys, image_ids):
        """Returns what reads the images of these ids in this order, and not much else."""
        tfds = import_extra("tensorflow_datasets", "data")
        places = self._places(keys)
        runs = []
        for image_id in image_ids:
            name, row = places[image_id]
            if runs and runs[-1][0] == name and runs[-1][2] == row:
                runs[-1][2] = row + 1
            else:
                runs.append([name, row, row + 1])
        reads = [tfds.core.ReadInstruction(name, from_=start, to=stop, unit="abs") for name, start, stop in runs]
        return sum(reads[1:], reads[0])

    def _places(self, keys):
        """Returns `{image id: (split, row in it)}`, from names such as `coco-train.tfrecord-00003-of-00256__12`."""
        starts = {}
        for name, info in self.builder.info.splits.items():
            row = 0
            for part in info.file_instructions:
                starts[os.path.basename(part.filename)] = name, row
                row += part.examples_in_shard
        places = {}
        for key, image_id in keys.items():
            file, row = os.path.basename(key.decode()).rsplit("__", 1)
            name, start = starts[file]
            places[image_id] = name, start + int(row)
        return places


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

    encoded = sample.pop("image")
    shape = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded),
        lambda: tf.shape(tf.io.decode_image(encoded, expand_animations=False)),
    )
    return {**sample, "shape": shape[:2]}


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
