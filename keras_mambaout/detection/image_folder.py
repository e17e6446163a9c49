"""The image files of a data set in COCO's format."""

import os

import numpy as np

from keras_mambaout.data.image_files import ImageFiles, check_folder


class ImageFolder(ImageFiles):
    """Image files in a folder, each of a known size.

    Files that are not there are unreadable images, as damaged ones are.

    Args:
        folder: Where the files are.
        images: List of dicts with `id`, `file_name` (relative to `folder`), `width` and `height`.

    Raises:
        ValueError: If there is no such folder, or none of the files is there.
    """

    def __init__(self, folder: str | os.PathLike, images: list[dict]) -> None:
        folder = check_folder(folder, "folder of images")
        names = [image["file_name"] for image in images]
        if not any(os.path.isfile(os.path.join(folder, name)) for name in names):
            raise ValueError(
                f"None of {len(names)} image files is in {folder!r}: {', '.join(names[:5])}"
                f"{', ...' if len(names) > 5 else ''}. `images` must be the folder that these names are relative to."
            )
        super().__init__([os.path.join(folder, name) for name in names])
        self._sizes = [(image["height"], image["width"]) for image in images]

    def load(self, index: int) -> np.ndarray:
        """Returns an image as RGB, uint8, `(H, W, 3)`; it is an error if its size is not that of the labels."""
        image = super().load(index)
        if image.shape[:2] != self._sizes[index]:
            height, width = self._sizes[index]
            raise ValueError(
                f"{self.paths[index]!r} is {image.shape[1]} pixels wide and {image.shape[0]} high (upright, as "
                f"EXIF says), its labels are for {width} x {height}. Use the images that the labels were made for."
            )
        return image
