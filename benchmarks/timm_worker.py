"""timm's MambaOut as a contender of speed.py, run by an interpreter that has timm (this package's need not).

Answers the requests of `keras_mambaout.compare.worker`; `KIND=compile` uses `torch.compile`, `KIND=memory` keeps its
memory, as ours do.
"""

import os
import pathlib
import platform
import sys
import time

import numpy as np
import timm
import torch
from torch_device import DEVICE, device_name, peak_memory, synchronize

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "keras_mambaout"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "keras_mambaout" / "compare"))
from memory import keep_memory  # standard library only, as the next: this interpreter has no Keras
from protocol import serve

KIND = os.environ.get("KIND", "eager")


def describe():
    versions = {"timm": timm.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"versions": versions, "device": device_name()}


class TimmWorker:
    def build(self, model, batch, precision="float32", learning_rate=1e-4):
        with np.load(batch) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        start = time.perf_counter()
        self.model = timm.create_model(model).to(DEVICE)
        seconds = time.perf_counter() - start
        self.function = torch.compile(self.model) if KIND == "compile" else self.model
        self.images = torch.tensor((images / 255 - 0.45) / 0.226).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.tensor(labels).long()
        self.autocast = torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "mixed_bfloat16")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), learning_rate)
        self.loss = torch.nn.CrossEntropyLoss()
        return seconds

    def forward(self):
        start = time.perf_counter()
        self.model.eval()
        with torch.inference_mode(), self.autocast:
            self.function(self.images.to(DEVICE)).float().softmax(-1).cpu().numpy()
        return time.perf_counter() - start

    def train_step(self):
        start = time.perf_counter()
        self.model.train()
        self.optimizer.zero_grad()
        with self.autocast:
            loss = self.loss(self.function(self.images.to(DEVICE)), self.labels.to(DEVICE))
        loss.backward()
        self.optimizer.step()
        loss.item()
        synchronize()
        return time.perf_counter() - start


if KIND == "memory":
    keep_memory()
worker = TimmWorker()
methods = {"describe": describe, "peak_memory": peak_memory}
serve({**methods, "build": worker.build, "forward": worker.forward, "train_step": worker.train_step})
