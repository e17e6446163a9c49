# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Is the state space model needed?
#
# MambaOut is Mamba without its state space model (SSM). The paper says that images need none to be classified, and that
# long sequences do. Here is a task with a knob for length: each pixel is to be painted in the colour of the last marked
# pixel left of it, up to so many columns away. Where does each token mixer lose sight of it?
#
# ```
# python examples/09_is_ssm_needed.py
# python examples/09_is_ssm_needed.py --longest 64 --steps 400
# python examples/09_is_ssm_needed.py --blocks 5 --mixers conv identity
# ```
#
# - **Needs** a backend and the extra `demo`; no GPU, no network, no data.
# - **Writes** `output/is_ssm_needed.png`: accuracy over distance for each mixer.
# - **Expect** about two minutes on two cores with the settings below. The convolution is right as far as its kernels
#   reach, 3 columns for each block, and as good as chance, 25 %, beyond; with an SSM there is no such edge.
# - The study, with equal parameters, several seeds, real images and costs, is in `studies/is_ssm_needed`.

# %% tags=["install"]
# %pip install -q "keras-mambaout[torch,demo]"

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")  # or "jax" or "tensorflow"; set it before keras is imported

# %%
import matplotlib

if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")  # a script saves the picture, a notebook shows it too

import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_mambaout.layers import GatedCNNBlock

# %% [markdown]
# ## Settings
# In a notebook, turn the knob in a cell below this one, such as `args.longest = 64`.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Accuracy over distance for each token mixer.")
parser.add_argument("--longest", type=int, default=32, help="columns of the image, and the farthest cue (default: 32)")
parser.add_argument("--mixers", nargs="+", default=["conv", "conv_ssm", "causal_conv", "identity"])
parser.add_argument("--directions", type=int, default=1, choices=(1, 2, 4), help="in which the SSM reads (default: 1)")
parser.add_argument("--blocks", type=int, default=2, help="a 7 x 7 convolution sees 3 columns more with each")
parser.add_argument("--steps", type=int, default=250)
parser.add_argument("--output", default="output/is_ssm_needed.png", help="the picture to write")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The task
# Every pixel has one of four colours, drawn by chance; some are marked. A pixel's label is the colour of the last
# marked one in its row, at the pixel itself or left of it. Other colours mean nothing, so a network must select.

# %%
COLOURS, HEIGHT, BATCH = 4, 8, 16


def painted_rows(count, random):
    """Returns images `(N, H, W, 5)`, labels and distances `(N, H, W)`."""
    shape = count, HEIGHT, args.longest
    marks = random.random(shape) < 2 / args.longest
    marks[..., 0] = True
    colours = random.integers(0, COLOURS, shape)
    columns = np.arange(args.longest)
    cues = np.maximum.accumulate(np.where(marks, columns, 0), axis=-1)  # (N, H, W), the column of each pixel's cue
    images = np.concatenate([np.eye(COLOURS)[colours], marks[..., None]], axis=-1).astype("float32")
    return images, np.take_along_axis(colours, cues, axis=-1), columns - cues


# %% [markdown]
# ## The networks
# An embedding of each pixel, gated CNN blocks, an answer for each pixel. Blocks alone let pixels see each other.


# %%
def network(token_mixer):
    scan = {"scan_directions": args.directions} if token_mixer == "conv_ssm" else {}
    inputs = keras.Input((HEIGHT, args.longest, COLOURS + 1))
    x = keras.layers.Dense(32)(inputs)
    for _ in range(args.blocks):
        x = GatedCNNBlock(token_mixer=token_mixer, **scan)(x)
    x = keras.layers.LayerNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(COLOURS)(x))  # logits


def train(token_mixer):
    """Returns the accuracy at each distance, `NaN` where no pixel has it."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    model = network(token_mixer)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, args.steps, warmup_target=3e-3, warmup_steps=max(args.steps // 10, 1)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate, global_clipnorm=1.0), loss)
    for _ in range(args.steps):
        images, labels, _ = painted_rows(BATCH, random)
        model.train_on_batch(images, labels)
    images, labels, distances = painted_rows(100, np.random.default_rng(1))
    right = model.predict(images, verbose=0).argmax(-1) == labels
    near, far = (right[where].mean() for where in (distances <= 3 * args.blocks, distances > 3 * args.blocks))
    print(
        f"{token_mixer:<12} {model.count_params():>6,} parameters, right within {3 * args.blocks} columns: "
        f"{near:.0%}, beyond: {far:.0%}"
    )
    return [right[distances == distance].mean() for distance in range(distances.max() + 1)]


curves = {token_mixer: train(token_mixer) for token_mixer in args.mixers}

# %% [markdown]
# ## Draw

# %%
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for line, (token_mixer, accuracies) in zip(("-", "-", "--", ":"), curves.items(), strict=False):
    axis.plot(100 * np.array(accuracies), line, label=token_mixer)
axis.axvline(3 * args.blocks, color="0.5", linewidth=1, linestyle=":")
axis.annotate(" as far as 7 x 7 convolutions see", (3 * args.blocks, 102), fontsize=8, color="0.4")
axis.axhline(100 / COLOURS, color="0.5", linewidth=1)
axis.set(xlabel="columns from a pixel to its cue", ylabel="accuracy, %", ylim=(0, 110))
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)

Path(args.output).parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.output, dpi=120)
print(f"saved {args.output}")
