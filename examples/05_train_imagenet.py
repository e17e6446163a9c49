# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Train from scratch by the paper's recipe
#
# All of the paper's ImageNet training in `model.fit`: AdamW with warm-up and cosine, RandAugment, Mixup and CutMix,
# random erasing, label smoothing, stochastic depth.
#
# ```
# python examples/05_train_imagenet.py --model mambaout_femto --batch-size 256 --accumulate 4    # ImageNet-1k, TFDS
# python examples/05_train_imagenet.py --data-dir photos --epochs 100 --batch-size 64            # your own classes
# ```
#
# TensorFlow Datasets prepares `imagenet2012` from the two archives that you download from image-net.org. A folder has
# `train` and `val` with a folder of images for each class.
#
# - **Needs** a backend and the extras `training` and `demo`; the images are read by TensorFlow, whatever the backend.
# - **Writes** into `output/imagenet`: `best.keras`, `last.keras`, `history.csv`, TensorBoard's logs, `curves.png`, and
#   a backup: started again with the same arguments, a run that was killed goes on after its last epoch.
# - **Expect** 78.9 % for `mambaout_femto` and 82.7 % for `mambaout_tiny` after 300 epochs (the published figures; not
#   trained again here), in days to weeks of one GPU: `docs/training.md` has the arithmetic, and the commands for
#   several GPUs and hosts. On a laptop, `--data-dir` with a thousand small images shows the same in minutes.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,training,demo]"

# %%
import argparse
import dataclasses
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax" or "torch"; set it before keras is imported

# %%
import keras
import matplotlib

if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")  # a script saves the picture, a notebook shows it too

import matplotlib.pyplot as plt

import keras_mambaout
from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe, evaluate_classifier
from keras_mambaout.training import train

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.data_dir = "photos"`.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Train a MambaOut model by the paper's recipe.")
parser.add_argument("--data-dir", help="folder with train/ and val/, class folders in each; default: --dataset")
parser.add_argument("--dataset", default="imagenet2012", help="name of TensorFlow Datasets")
parser.add_argument("--model", default="mambaout_femto", choices=keras_mambaout.list_models(), metavar="NAME")
parser.add_argument("--image-size", type=int, default=224)
parser.add_argument("--epochs", type=int, default=300)
parser.add_argument("--batch-size", type=int, default=1024, help="images of a weight update")
parser.add_argument("--accumulate", type=int, default=1, help="steps that a batch is divided into, to save memory")
parser.add_argument("--output", default="output/imagenet", metavar="DIR")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The recipe
# Every number of the paper's training is a field of the recipe; `dataclasses.replace` changes some. The paper's batch
# has 4096 images and the learning rate 4e-3; with another batch size the rate changes in proportion. The warm-up keeps
# its share of 20 epochs in 300.

# %%
paper = ClassificationRecipe.paper(args.model)
recipe = dataclasses.replace(
    paper,
    epochs=args.epochs,
    warmup_epochs=paper.warmup_epochs * args.epochs / paper.epochs,
    batch_size=args.batch_size,
    image_size=args.image_size,
)
print(f"learning rate up to {recipe.learning_rate:.2g}, drop path {recipe.drop_path_rate}, {recipe.augmentation}")

# %% [markdown]
# ## Images and model

# %%
keras.utils.set_random_seed(args.seed)
try:
    if args.data_dir:
        data = ClassificationDataset.from_folder(os.path.join(args.data_dir, "train"))
        val_data = ClassificationDataset.from_folder(os.path.join(args.data_dir, "val"), data.class_names)
    else:
        data = ClassificationDataset.from_tfds(args.dataset, "train")
        val_data = ClassificationDataset.from_tfds(args.dataset, "validation")
    model = keras_mambaout.create_model(
        args.model, weights=None, classes=data.num_classes, drop_path_rate=recipe.drop_path_rate
    )
    history = train(model, recipe, data, val_data, args.output, args.accumulate, args.seed, resume=True)
except (ValueError, ImportError, OSError) as error:  # OSError: no network
    if "ipykernel" in sys.modules:
        raise
    sys.exit(str(error))  # a script ends with one line and status 1

# %% [markdown]
# ## What it has learnt
# Top-1 and top-5 accuracy of the best epoch, on timm's evaluation transform.

# %%
best = keras.models.load_model(os.path.join(args.output, "best.keras"))
metrics = evaluate_classifier(best, val_data, args.batch_size // args.accumulate)
print(f"top-1 {metrics['top1']:.2%} of {metrics['images']} images for validation")

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
    for key, label in ((name, "training, augmented"), (f"val_{name}", "validation")):
        axis.plot(range(1, len(history[key]) + 1), history[key], marker=".", label=label)
    axis.set(xlabel="epoch", ylabel=name)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
figure.savefig(os.path.join(args.output, "curves.png"), dpi=120)
print(f"saved best.keras, last.keras, history.csv and curves.png in {args.output}")
