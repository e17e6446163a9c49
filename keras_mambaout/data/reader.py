"""Reads the images of a data set, and leaves out those that cannot be read."""

import logging
import threading

import numpy as np

logger = logging.getLogger(__name__)


class ImageReader:
    """Reads the images of a source, and remembers those that cannot be read.

    Args:
        source: `ClassFolders`, `TfdsLabels` or the like. `samples(seed)` is a `tf.data.Dataset`, in order or
            shuffled, `parse(sample)` the reference to an image and its class, `load(*reference)` the image,
            and `name(*reference)` its name.
    """

    def __init__(self, source):
        self.source, self.unreadable = source, set()
        self._lock, self._checked = threading.Lock(), False

    def read(self, reference, crop):
        """Returns a cropped image, or `None` if it is unreadable."""
        try:
            return crop(self.source.load(*reference))
        except Exception as error:  # whatever it is: in a data pipeline it would end the training
            self._leave_out(self.source.name(*reference), error)
            return None

    def _leave_out(self, name, error):
        with self._lock:
            known = name in self.unreadable
            self.unreadable.add(name)
        if not known:
            named = isinstance(error, ValueError) and repr(name) in str(error)
            reason = error if named else f"{name!r} is not a readable image, it may be damaged: {error!r}"
            logger.warning("%s; it is left out.", reason)

    def check(self):
        """Raises an error unless an image is readable and labelled."""
        if self._checked:
            return
        samples = self.source.samples().enumerate().map(lambda _, sample: self.source.parse(sample))
        for reference, label in samples.as_numpy_iterator():
            if label < 0:
                raise ValueError("The images have no labels (-1): this split is for predictions only, take another.")
            if self.read(reference, np.asarray) is not None:
                self._checked = True
                return
        raise ValueError(f"None of the {len(self.source)} images is readable, the warnings above say why.")
