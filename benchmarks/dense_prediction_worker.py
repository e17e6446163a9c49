"""Our Mask R-CNN or UperNet as a contender of dense_prediction.py; `KERAS_BACKEND` chooses the backend."""

import functools
import platform
import time

import keras
import numpy as np

import keras_mambaout
from keras_mambaout.compare import frameworks
from keras_mambaout.compare.protocol import serve
from keras_mambaout.detection import mask_rcnn
from keras_mambaout.segmentation import upernet
from keras_mambaout.training import AdamW


def describe():
    versions = {
        "keras_mambaout": keras_mambaout.__version__,
        "keras": keras.__version__,
        frameworks.BACKEND: frameworks.version(),
        "python": platform.python_version(),
    }
    return {"versions": versions, "device": frameworks.device()[1]}


class DensePredictionWorker:
    def build(self, task, model, batch, num_classes, remat, learning_rate=1e-4):
        with np.load(batch) as arrays:
            self.images = arrays["images"]
            labels = {name: arrays[name] for name in arrays if name != "images"}
        self.labels = labels.get("labels", labels)  # maps of UperNet, or boxes, classes and masks
        start = time.perf_counter()
        make = {"mask_rcnn": functools.partial(mask_rcnn, confidence_threshold=0.0), "upernet": upernet}[task]
        self.model = make(model, num_classes=num_classes, weights=None, rematerialize=remat)
        self.model.compile(AdamW(learning_rate))
        return time.perf_counter() - start

    def predict(self):
        start = time.perf_counter()
        self.model.predict_on_batch(self.images)
        return time.perf_counter() - start

    def train_step(self):
        start = time.perf_counter()
        self.model.train_on_batch(self.images, self.labels)
        frameworks.synchronize(self.model)
        return time.perf_counter() - start


worker = DensePredictionWorker()
methods = {"describe": describe, "peak_memory": frameworks.peak_memory}
serve({**methods, "build": worker.build, "predict": worker.predict, "train_step": worker.train_step})
