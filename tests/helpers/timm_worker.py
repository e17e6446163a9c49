"""Runs with timm's Python: loads a shared classifier in timm and writes its logits, what timm knows of it, and the
folder that timm would upload.

python tests/helpers/timm_worker.py NAME PHOTOS.npy FOLDER, with NAME as for `timm.create_model`
"""

import json
import pathlib
import sys

import numpy as np
import timm
import torch
from timm.models._hub import save_for_hf


def main(name, photos, folder):
    model = timm.create_model(name, pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    images = (np.load(photos) / 255 - config["mean"]) / config["std"]
    with torch.no_grad():
        logits = model(torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32))
    np.save(folder / "logits.npy", logits.numpy())
    save_for_hf(model, folder / "timm", safe_serialization=True)
    (folder / "config.json").write_text(json.dumps({**model.pretrained_cfg, **config}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
