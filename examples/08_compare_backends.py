# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Compare TensorFlow, JAX and PyTorch
#
# One model, the same weights and images on every backend: which is faster here, what it needs of memory, and whether
# they compute the same.
#
# ```
# python examples/08_compare_backends.py
# python examples/08_compare_backends.py --model mambaout_tiny --batch-size 8 --size 224
# python examples/08_compare_backends.py --model path/to/own.keras --images path/to/images
# ```
#
# - **Needs** all backends it compares and the extra `demo`; no GPU, no network. A backend that is not installed becomes
#   a row that says so.
# - **Writes** `compare.json`, `compare.md` and `compare.png` into `output/compare`.
# - **Expect** two to three minutes on two cores with the settings below, most of them spent on compiling. Logits differ
#   by about 1e-6 of the largest, the losses of training coincide.
# - From the command line the same is `keras-mambaout compare --model mambaout_femto`.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,jax,torch,demo]"

# %%
import argparse
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # of this process, which only starts the others

# %%
import keras_mambaout
from keras_mambaout.compare import format_report

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.model = "mambaout_tiny"`.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Compare backends on one model.")
parser.add_argument("--model", default="mambaout_femto", help="a model's name or a .keras file")
parser.add_argument("--weights", help="imagenet, a tag of list_weights(), or a path (default: drawn)")
parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
parser.add_argument("--batch-size", type=int, default=4)
parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (default: 96)")
parser.add_argument("--steps", type=int, default=10, help="timed calls, and steps of training (default: 10)")
parser.add_argument("--images", help="a folder of images (default: noise)")
parser.add_argument("--output", default="output/compare", help="the folder to write")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Compare
# Each backend has a process of its own. Forward passes and train steps are timed in turn, so that other work on the
# machine slows all of them alike. The first call, which compiles, is reported on its own.

# %%
try:
    report = keras_mambaout.compare_backends(
        args.model,
        weights=args.weights,
        backends=args.backends,
        batch_size=args.batch_size,
        size=args.size,
        steps=args.steps,
        images=args.images,
        output=args.output,
    )
except (ValueError, keras_mambaout.DownloadError) as error:
    if "ipykernel" in sys.modules:
        raise
    sys.exit(str(error))  # a script ends with one line and status 1
print(format_report(report))

# %% [markdown]
# ## The picture
# Times of a batch; the losses of `model.fit` laid over each other; how far the output of each layer differs.

# %%
if "ipykernel" in sys.modules:
    from IPython.display import Image, display

    display(Image(f"{args.output}/compare.png"))
print(f"saved {args.output}/compare.json, compare.md and compare.png")
if not report["agree"] and "ipykernel" not in sys.modules:
    sys.exit(1)
