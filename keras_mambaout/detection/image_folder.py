"""The image files of a data set in COCO's format."""

import os

import numpy as np

from keras_mambaout.data.image_files import ImageFiles, check_folder
from keras_mambaout.preprocessing.reading import load_image


class ImageFolder(ImageFiles):
    """Image files in a folder, each of a known size.

    Args:
        folder: Where the files are.
        images: List of dicts with `id`, `file_name` (relative to `folder`), `width` and `height`.

    Raises:
        ValueError: If there is no such folder, or files are missing.
    """

    def __init__(self, folder: str | os.PathLike, images: list[dict]) -> None:
        folder = check_folder(folder, "folder of images")
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
        super().__init__([os.path.join(folder, name) for name in names])
        self._sizes = [(image["height"], image["width"]) for image in images]

    def load(self, index: int) -> np.ndarray:
        """Returns an image as RGB, uint8, `(H, W, 3)`; it is an error if its size is not that of the labels."""
        image = load_image(self.paths[index])
        if image.shape[:2] != self._sizes[index]:
            height, width = self._sizes[index]
            raise ValueError(
                f"{self.paths[index]!r} is {image.shape[1]} pixels wide and {image.shape[0]} high (upright, as "
                f"EXIF says), its labels are for {width} x {height}. Use the images that the labels were made for."
            )
        return image
