# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Classify a photo
#
# A model with published ImageNet weights says what is in a photo.
#
# ```
# python examples/01_classify_image.py photo.jpg another.png
# python examples/01_classify_image.py photo.jpg --model mambaout_base --top 3
# python examples/01_classify_image.py photo.jpg --weights path/to/model.safetensors   # without network
# ```
#
# - **Needs** a backend and the extra `demo`; no GPU. The weights are downloaded once, 106 MB for `mambaout_tiny`.
#   Without a photo of yours it takes one of a cat, which comes with scikit-image.
# - **Writes** one picture, `output/classify.png`: each photo with a bar chart of its most probable classes.
# - **Expect** the five most probable of 1000 classes after some seconds. On ImageNet's own test photos the first is
#   right in 83 of 100 cases with `mambaout_tiny`, in 79 with `mambaout_femto`, the smallest.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,demo]"

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax" or "torch"; set it before keras is imported

# %%
import matplotlib

if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")  # a script saves the picture, a notebook shows it too

import matplotlib.pyplot as plt
import numpy as np
import skimage.data

import keras_mambaout

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.photos = ["photo.jpg"]`.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Classify photos with a MambaOut model.")
parser.add_argument("photos", nargs="*", help="image files (default: a photo of a cat)")
parser.add_argument("--model", default="mambaout_tiny", choices=keras_mambaout.list_models(), metavar="NAME")
parser.add_argument("--weights", default="imagenet", help="imagenet, a tag of list_weights(), or a path")
parser.add_argument("--top", type=int, default=5, help="how many classes to show (default: 5)")
parser.add_argument("--output", default="output/classify.png", help="the picture to write")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The model and the photos
# `load_image` returns RGB whatever the file holds. `resize_and_center_crop` cuts out the square that the model takes,
# of the size and in the way in which the accuracy of published weights was measured.

# %%
try:
    photos = [keras_mambaout.load_image(path) for path in args.photos] or [skimage.data.cat()]
    model = keras_mambaout.create_model(args.model, weights=None)
    if keras_mambaout.load_weights(model, args.weights):  # what was not in the file, and so stays random
        raise ValueError(f"{args.weights} has no classifier of the 1000 ImageNet classes.")
except (ValueError, keras_mambaout.DownloadError) as error:
    if "ipykernel" in sys.modules:
        raise
    sys.exit(str(error))  # a script ends with one line and status 1

settings = model.inference_settings  # set by published weights
crops = [keras_mambaout.resize_and_center_crop(photo, *settings.options().values()) for photo in photos]

# %% [markdown]
# ## Predict
# The model takes the pixels as they are, from 0 to 255: normalisation is its first layer.
# `keras_mambaout.classification.classify(model, photos)` crops, predicts and names in one call, your own classes too.

# %%
probabilities = model.predict(np.stack(crops), verbose=0)  # (B, size, size, 3) -> (B, 1000)
predictions = keras_mambaout.decode_predictions(probabilities, top=args.top)

for name, top in zip(args.photos or ["a cat"], predictions, strict=True):
    print(f"{name}:")
    for _, label, probability in top:
        print(f"  {probability:6.1%}  {label}")

# %% [markdown]
# ## Draw

# %%
figure, rows = plt.subplots(len(crops), 2, figsize=(9, 3.5 * len(crops)), squeeze=False, layout="constrained")
for (left, right), crop, top in zip(rows, crops, predictions, strict=True):
    left.imshow(crop)
    left.axis("off")
    bars = right.barh([label for _, label, _ in top], [probability for _, _, probability in top])
    right.bar_label(bars, fmt="{:.1%}", padding=3)
    right.invert_yaxis()  # the most probable on top
    right.margins(x=0.2)
    right.set_xlabel("probability")
    right.spines[["top", "right"]].set_visible(False)

Path(args.output).parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.output, dpi=120)
print(f"saved {args.output}")
