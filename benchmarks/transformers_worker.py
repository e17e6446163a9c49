"""transformers' UperNet as a contender of dense_prediction.py, run by an interpreter that has transformers and PyTorch.

Answers the requests of `dense_prediction_worker.py`.
"""

import pathlib
import platform
import sys
import time

import numpy as np
import torch
import transformers
from torch_device import DEVICE, device_name, peak_memory, synchronize

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "keras_mambaout" / "compare"))
from protocol import serve  # standard library only: this interpreter has no Keras

CONVNEXT_TINY = {
    "depths": [3, 3, 9, 3],
    "hidden_sizes": [96, 192, 384, 768],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
    "drop_path_rate": 0.3,
}


def describe():
    versions = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return {"versions": versions, "device": device_name()}


class TransformersWorker:
    def build(self, model, batch, num_classes, task=None, remat=False, learning_rate=1e-4):
        with np.load(batch) as arrays:
            self.images = torch.tensor((arrays["images"] / 255 - 0.45) / 0.226).permute(0, 3, 1, 2).contiguous()
            self.labels = torch.tensor(arrays["labels"]).long()
        start = time.perf_counter()
        backbone = transformers.ConvNextConfig(**CONVNEXT_TINY)
        config = transformers.UperNetConfig(backbone_config=backbone, num_labels=num_classes)
        self.model = transformers.UperNetForSemanticSegmentation(config).to(DEVICE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), learning_rate, weight_decay=0.05)
        return time.perf_counter() - start

    def predict(self):
        start = time.perf_counter()
        self.model.eval()
        with torch.inference_mode():
            self.model(self.images.to(DEVICE)).logits.cpu().numpy()
        return time.perf_counter() - start

    def train_step(self):
        start = time.perf_counter()
        self.model.train()
        if len(self.images) == 1:  # PyTorch refuses to normalise the one value of a channel that is left of one image
            self.model.decode_head.psp_modules.blocks[0].eval()
        self.optimizer.zero_grad()
        loss = self.model(self.images.to(DEVICE), labels=self.labels.to(DEVICE)).loss
        loss.backward()
        self.optimizer.step()
        loss.item()
        synchronize()
        return time.perf_counter() - start


worker = TransformersWorker()
methods = {"describe": describe, "peak_memory": peak_memory}
serve({**methods, "build": worker.build, "predict": worker.predict, "train_step": worker.train_step})
