"""The image files of a data set."""

import os

import numpy as np

from keras_mambaout.preprocessing.reading import load_image


class ImageFolder:
    """Image files in a folder, read by id.

    Args:
        folder: Where the files are.
        images: List of dicts with `id`, `file_name` (relative to `folder`), `width` and `height`.

    Raises:
        ValueError: If there is no such folder, or files are missing.
    """

    def __init__(self, folder, images):
        folder = os.fspath(folder)
        if not os.path.isdir(folder):
            raise ValueError(f"There is no folder of images {folder!r} (working directory {os.getcwd()!r}).")
        unnamed = [image["id"] for image in images if not isinstance(image.get("file_name"), str)]
        if unnamed:
            raise ValueError(f"{len(unnamed)} of 'images' have no 'file_name', the first has the id {unnamed[0]}.")
        present = set(os.listdir(folder))
        names = [image["file_name"] for image in images]
        missing = [name for name in names if name not in present and not os.path.isfile(os.path.join(folder, name))]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(names)} image files are not in {folder!r}: {', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}. `images` must be the folder that these names are relative to."
            )
        self._paths = {image["id"]: os.path.join(folder, image["file_name"]) for image in images}
        self._sizes = {image["id"]: (image["height"], image["width"]) for image in images}

    def load(self, image_id):
        """Returns an image as RGB, uint8, `(H, W, 3)`; an error says so if its size is not the labels'."""
        image = load_image(self._paths[image_id])
        if image.shape[:2] != self._sizes[image_id]:
            height, width = self._sizes[image_id]
            raise ValueError(
                f"{self._paths[image_id]!r} is {image.shape[1]} pixels wide and {image.shape[0]} high (upright, as "
                f"EXIF says), its labels are for {width} x {height}. Take the images that the labels were made for."
            )
        return image

    def stream(self, image_ids, shuffle, seed):
        """Returns a `tf.data.Dataset` of ids and images, in the order of `image_ids` or shuffled anew each epoch."""
        import tensorflow as tf

        def load(image_id):
            image = tf.numpy_function(lambda number: self.load(int(number)), [image_id], tf.uint8)
            return image_id, tf.ensure_shape(image, (None, None, 3))

        ids = tf.data.Dataset.from_tensor_slices(np.array(image_ids, "int64"))
        if shuffle:
            ids = ids.shuffle(len(image_ids), seed=seed, reshuffle_each_iteration=True)
        return ids.map(load, num_parallel_calls=tf.data.AUTOTUNE)
