"""Our Mask R-CNN as a contender of mask_rcnn.py; `KERAS_BACKEND` chooses the backend."""

import platform
import time

import keras
import numpy as np

import keras_mambaout
from keras_mambaout.compare import frameworks
from keras_mambaout.compare.protocol import serve
from keras_mambaout.detection import mask_rcnn


def describe():
    versions = {
        "keras_mambaout": keras_mambaout.__version__,
        "keras": keras.__version__,
        frameworks.BACKEND: frameworks.version(),
        "python": platform.python_version(),
    }
    return {"versions": versions, "device": frameworks.device()[1]}


class MaskRCNNWorker:
    def build(self, model, batch, num_classes, learning_rate=1e-4):
        with np.load(batch) as arrays:
            self.images = arrays["images"]
            self.labels = {name: arrays[name] for name in ("boxes", "classes", "masks")}
        start = time.perf_counter()
        self.model = mask_rcnn(model, num_classes=num_classes, weights=None)
        self.model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=0.05))
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


worker = MaskRCNNWorker()
methods = {"describe": describe, "peak_memory": frameworks.peak_memory}
serve({**methods, "build": worker.build, "predict": worker.predict, "train_step": worker.train_step})
