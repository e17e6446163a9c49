# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Semantic segmentation with UperNet
#
# The paper's system for ADE20K: a MambaOut backbone under UperNet, which names the class of each pixel, trained with
# the paper's augmentation, measured with the mean intersection over union (mIoU), saved, loaded again and drawn.
#
# ```
# python examples/07_upernet_ade20k.py --data ADEChallengeData2016
# python examples/07_upernet_ade20k.py --images photos --labels maps --classes names.txt --label-ids-from 1 \
#     --ignored 0 --model mambaout_femto --weights none --crop-size 224 --channels 64 --batch-size 4 --epochs 300 \
#     --learning-rate 6e-3 --drop-path 0 --plain --measure-every 100
# ```
#
# - **Needs** the extra `demo`, and TensorFlow, which reads the photos whatever the backend. The weights are downloaded
#   once, 106 MB for `mambaout_tiny`.
# - **Writes** into `output/semantic`: `segmenter.keras`, `segmentation.png`, `classes.png` and `classes.csv`.
# - **Expect** of the second command, on four scenes of ADE20K, with TensorFlow on one busy CPU core, 9 minutes and an
#   mIoU of about 0.77 on what it has learnt by heart. ADE20K itself wants a GPU and is not measured here; the paper has
#   an mIoU of 47.4 with `mambaout_tiny`.
# - **Later**, `keras-mambaout predict photo.jpg --model segmenter.keras --classes names.txt`. With the paper's
#   schedule of the learning rate, `keras-mambaout train semantic`.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,demo]"

# %%
import argparse
import csv
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax" or "torch"; set it before keras is imported

# %%
import keras
import numpy as np
from PIL import Image

from keras_mambaout import load_model
from keras_mambaout.segmentation import (
    MULTI_SCALE,
    SegmentationAugmentation,
    SegmentationDataset,
    SegmentationMeanIoU,
    SegmentationSettings,
    draw_segmentation,
    evaluate_segmenter,
    format_segmentation_metrics,
    segment,
    upernet,
)
from keras_mambaout.training import AdamW

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.data = "ADEChallengeData2016"`. Without `--data`,
# any folder of images and one of label maps will do: PNGs of the same names, in which each pixel is the number of its
# class. `--classes` is a text file with one name per line; `--label-ids-from` is the number of the first.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Train UperNet over a MambaOut backbone.")
parser.add_argument("--data", metavar="DIR", help="ADEChallengeData2016")
parser.add_argument("--images", metavar="DIR", help="or a folder of images,")
parser.add_argument("--labels", metavar="DIR", help="one of label maps,")
parser.add_argument("--classes", metavar="FILE", help="and the names of the classes, one per line")
parser.add_argument("--label-ids-from", type=int, default=0, metavar="NUMBER", help="of the first class (default: 0)")
parser.add_argument("--ignored", type=int, default=255, help="number of pixels that do not count (default: 255)")
parser.add_argument("--validate", type=int, default=0, metavar="N", help="the last N images are only to measure by")
parser.add_argument("--model", default="mambaout_tiny", help="the backbone, one of list_models()")
parser.add_argument("--weights", default="imagenet", help="imagenet, none, a tag of list_weights(), or a path")
parser.add_argument("--drop-path", type=float, help="stochastic depth (default: the paper's)")
parser.add_argument("--crop-size", type=int, default=512, help="side of crops, and short side of images (default: 512)")
parser.add_argument("--channels", type=int, default=512, help="of the head (the paper's: 512)")
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--epochs", type=int, default=127)
parser.add_argument("--learning-rate", type=float, default=1e-4)
parser.add_argument("--plain", action="store_true", help="crops only: no random size, mirroring or colours")
parser.add_argument("--measure-every", type=int, default=1, metavar="EPOCHS", help="mIoU while training (default: 1)")
parser.add_argument("--multi-scale", action="store_true", help="measure at six sizes and mirrored, too")
parser.add_argument("--draw", type=int, default=4, help="how many photos to draw (default: 4)")
parser.add_argument("--output", default="output/semantic", metavar="DIR")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The photos and the model
# In training, photos are resized at random to half to twice the size, cropped so that no class has more than three
# quarters of a crop, mirrored, and changed in brightness, contrast, saturation and hue. `upernet` has the paper's
# settings; its auxiliary head on the third stage helps in training only.

# %%
keras.utils.set_random_seed(0)
sizes = {"crop_size": args.crop_size, "shortest_edge": args.crop_size, "longest_edge": 4 * args.crop_size}
plain = SegmentationAugmentation(scale_range=(1.0, 1.0), cat_max_ratio=1.0, flip=0.0, photometric_distortion=False)
try:
    if args.data:
        train, val = (SegmentationDataset.from_ade20k(args.data, split) for split in ("training", "validation"))
    elif args.images and args.labels and args.classes:
        names = Path(args.classes).read_text(encoding="utf-8").splitlines()
        numbers = range(args.label_ids_from, args.label_ids_from + len(names))
        train = val = SegmentationDataset.from_folder(
            args.images, args.labels, names, numbers, ignore_ids=[args.ignored]
        )
        if args.validate:
            split = len(val) - args.validate
            train, val = train.subset(range(split)), val.subset(range(split, len(val)))
    else:
        raise ValueError("Give --data ADEChallengeData2016, or --images, --labels and --classes.")
    model = upernet(
        args.model,
        num_classes=train.num_classes,
        weights=None if args.weights == "none" else args.weights,
        drop_path_rate=args.drop_path,
        channels=args.channels,
        auxiliary_channels=args.channels // 2,
    )
    batches = train.batches(args.batch_size, training=True, **sizes, augmentation=plain if args.plain else None)
except (ValueError, ImportError, OSError) as error:  # OSError: no network
    if "ipykernel" in sys.modules:
        raise
    sys.exit(str(error))  # a script ends with one line and status 1

print(f"{len(train)} photos for training, {len(val)} for validation, {train.num_classes} classes")
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## Train
# The loss is the mean cross entropy of the pixels that count, and 0.4 times that of the auxiliary head. The callback
# adds `val_mIoU` and others to the logs: images are looked at through windows of the crop's size that overlap by a
# third, and compared with the labels at their own size.

# %%
steps = args.epochs * train.steps_per_epoch(args.batch_size)
schedule = keras.optimizers.schedules.PolynomialDecay(args.learning_rate, steps, end_learning_rate=0.0)
model.compile(AdamW(schedule, weight_decay=0.05, global_clipnorm=1.0))
model.fit(
    batches, epochs=args.epochs, callbacks=[SegmentationMeanIoU(val, every=args.measure_every, **sizes)], verbose=2
)
model.inference_settings = SegmentationSettings(class_names=train.class_names, **sizes)

# %% [markdown]
# ## Save and load
# `load_model` is `keras.models.load_model` and the import of what the model was made with, on any backend. To train it
# further, compile it again. The file has the names of the classes and the sizes too, `inference_settings`.

# %%
output = Path(args.output)
output.mkdir(parents=True, exist_ok=True)
model.save(output / "segmenter.keras")
loaded = load_model(output / "segmenter.keras")

photos, labels = zip(*(val.load(index) for index in range(min(args.draw, len(val)))), strict=True)
predictions = segment(loaded, photos)
for before, after in zip(segment(model, photos[:1]), predictions, strict=False):
    np.testing.assert_array_equal(after, before, "The loaded model finds different classes.")
print("segmenter.keras loaded: the same classes")

# %% [markdown]
# ## Measure
# The intersection over union (IoU) of a class is the share of its pixels, found or labelled, that are both; mIoU is
# the mean over the classes. At several sizes, and mirrored, the classes are those of the mean probability.

# %%
metrics = evaluate_segmenter(loaded, val)
print(format_segmentation_metrics(metrics))
if args.multi_scale:
    print(f"\nat {len(MULTI_SCALE)} sizes and mirrored")
    print(format_segmentation_metrics(evaluate_segmenter(loaded, val, scales=MULTI_SCALE, flip=True), classes=False))
with open(output / "classes.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, list(metrics["classes"][0]))
    writer.writeheader()
    writer.writerows(metrics["classes"])

# %% [markdown]
# ## Draw
# `segment` takes photos of any size, your own as `keras_mambaout.load_image("photo.jpg")`, and returns the class of
# each of their pixels. The colours are ADE20K's for its classes, and else as different as they can be; pixels that do
# not count are black. The classes of the first photo are saved as a label map too, one number per pixel.

# %%
picture = Image.fromarray(draw_segmentation(photos, predictions, labels, val.class_names))
picture.save(output / "segmentation.png")
Image.fromarray(predictions[0].astype("uint8")).save(output / "classes.png")
if "ipykernel" in sys.modules:
    picture.show()
print(f"saved segmenter.keras, segmentation.png, classes.png and classes.csv in {output}")
