"""torchvision's Mask R-CNN as a contender of dense_prediction.py, run by an interpreter that has torchvision.

Answers the requests of `dense_prediction_worker.py`.
"""

import pathlib
import platform
import sys
import time

import numpy as np
import torch
import torchvision
from torch_device import DEVICE, device_name, peak_memory, synchronize

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "keras_mambaout" / "compare"))
from protocol import serve  # standard library only: this interpreter has no Keras

DETECTIONS = 100


def describe():
    versions = {"torchvision": torchvision.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"versions": versions, "device": device_name()}


class TorchvisionWorker:
    def build(self, model, batch, num_classes, task=None, remat=False, learning_rate=1e-4):
        with np.load(batch) as arrays:
            images, labels = arrays["images"], {name: arrays[name] for name in ("boxes", "classes", "masks")}
        height, width = images.shape[1:3]
        self.images = list(torch.tensor(images / 255).permute(0, 3, 1, 2))
        self.targets = [target(*one, height, width) for one in zip(*labels.values(), strict=True)]
        start = time.perf_counter()
        self.model = torchvision.models.detection.maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=num_classes + 1,
            min_size=min(height, width),
            max_size=max(height, width),
            box_detections_per_img=DETECTIONS,
        ).to(DEVICE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), learning_rate, weight_decay=0.05)
        return time.perf_counter() - start

    def predict(self):
        self._lower_threshold()
        start = time.perf_counter()
        self._predicted()
        return time.perf_counter() - start

    def train_step(self):
        start = time.perf_counter()
        self.model.train()
        self.optimizer.zero_grad()
        targets = [{name: value.to(DEVICE) for name, value in one.items()} for one in self.targets]
        loss = sum(self.model([image.to(DEVICE) for image in self.images], targets).values())
        loss.backward()
        self.optimizer.step()
        loss.item()
        synchronize()
        return time.perf_counter() - start

    def _predicted(self):
        self.model.eval()
        with torch.inference_mode():
            found = self.model([image.to(DEVICE) for image in self.images])
        return [{name: value.cpu().numpy() for name, value in one.items()} for one in found]

    def _lower_threshold(self):
        """Lowers it to the score of the hundredth detection: a model with random weights has none above 0.05."""
        self.model.roi_heads.score_thresh = 0.0
        lowest = min(one["scores"].min(initial=1.0) for one in self._predicted())
        self.model.roi_heads.score_thresh = min(0.05, 0.999 * float(lowest))


def target(boxes, classes, masks, height, width):
    """Returns the labels of an image for torchvision: without padding, with masks in the frame of the image."""
    real = classes >= 0
    full = np.zeros((real.sum(), height, width), "uint8")
    for picture, mask, box in zip(full, masks[real], boxes[real].astype(int), strict=True):
        left, top, right, bottom = box
        rows, columns = (np.arange(side) * len(mask) // side for side in (bottom - top, right - left))
        picture[top:bottom, left:right] = mask[rows][:, columns]
    return {
        "boxes": torch.tensor(boxes[real]),
        "labels": torch.tensor(classes[real]).long() + 1,  # 0 is background
        "masks": torch.tensor(full),
    }


worker = TorchvisionWorker()
methods = {"describe": describe, "peak_memory": peak_memory}
serve({**methods, "build": worker.build, "predict": worker.predict, "train_step": worker.train_step})
