# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Detect objects with KerasCV's RetinaNet
#
# A MambaOut backbone under `keras_cv.models.RetinaNet`, trained on labels in COCO's format, measured with COCO's
# average precision (AP), saved, loaded again and drawn. KerasCV 0.9.0 is the last KerasCV. KerasHub is the way forward:
# for new code take example 04.
#
# ```
# python examples/03_detect_retinanet_kerascv.py --train-json coco/annotations/instances_train2017.json \
#     --train-images coco/train2017 --val-json coco/annotations/instances_val2017.json --val-images coco/val2017
# python examples/03_detect_retinanet_kerascv.py --train-json own.json --train-images photos --limit 8 \
#     --model mambaout_femto --weights none --image-size 160 --epochs 40 --learning-rate 5e-4
# ```
#
# - **Needs** the extras `detection` and `demo`, and TensorFlow, which reads the photos whatever the backend. The
#   weights are downloaded once, 106 MB for `mambaout_tiny`.
# - **Writes** into `output/retinanet_kerascv`: `detector.keras` and `detections.png`.
# - **Expect** of the second command, with PyTorch on one CPU core, four minutes and an AP50 of about 0.7 on the eight
#   photos it has learnt by heart. COCO itself wants a GPU and is not measured here.
# - **Later**, `keras-mambaout predict photo.jpg --model detector.keras --classes own.json`.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,detection,demo]"

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax" or "torch"; set it before keras is imported

# %%
import keras
import matplotlib

if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")  # a script saves the picture, a notebook shows it too

import matplotlib.pyplot as plt
import numpy as np

from keras_mambaout import load_model
from keras_mambaout.detection import (
    BOX_FORMATS,
    CocoDataset,
    DetectionSettings,
    detect,
    evaluate_detector,
    format_coco_metrics,
)
from keras_mambaout.integrations.keras_cv import retinanet
from keras_mambaout.visualization import draw_detections

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.train_json = "own.json"`.

# %% tags=["parameters"]
parser = argparse.ArgumentParser(description="Train KerasCV's RetinaNet over a MambaOut backbone.")
parser.add_argument("--train-json", default="annotations/instances_train2017.json", help="labels in COCO's format")
parser.add_argument("--train-images", default="train2017", metavar="DIR", help="the folder of the photos")
parser.add_argument("--val-json", help="for validation (default: that for training)")
parser.add_argument("--val-images", metavar="DIR", help="for validation (default: that for training)")
parser.add_argument("--limit", type=int, help="take only so many photos (default: all)")
parser.add_argument("--model", default="mambaout_tiny", help="the backbone, one of list_models()")
parser.add_argument("--weights", default="imagenet", help="imagenet, none, a tag of list_weights(), or a path")
parser.add_argument("--image-size", type=int, default=640)
parser.add_argument("--box-format", default="xyxy", choices=BOX_FORMATS, help="of labels and predictions")
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--learning-rate", type=float, default=1e-4)
parser.add_argument("--draw", type=int, default=4, help="how many photos to draw (default: 4)")
parser.add_argument("--confidence", type=float, default=0.5, help="of the boxes that are drawn (default: 0.5)")
parser.add_argument("--output", default="output/retinanet_kerascv", metavar="DIR")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The photos and the detector
# Any box format will do, as long as batches and detector have the same one. Photos keep their proportions and stand at
# the top left of a square. Training leaves out those without objects and mirrors half of the others.

# %%
keras.utils.set_random_seed(0)
try:
    train = CocoDataset.from_json(args.train_json, args.train_images)
    val = CocoDataset.from_json(args.val_json, args.val_images or args.train_images) if args.val_json else train
    if args.limit:
        train, val = (part.subset(range(min(args.limit, len(part)))) for part in (train, val))
    detector = retinanet(
        args.model,
        num_classes=train.num_classes,
        bounding_box_format=args.box_format,
        weights=None if args.weights == "none" else args.weights,
    )
    batches = train.batches(
        args.batch_size, training=True, image_size=args.image_size, bounding_box_format=args.box_format
    )
except (ValueError, ImportError, OSError) as error:  # OSError: no network
    if "ipykernel" in sys.modules:
        raise
    sys.exit(str(error))  # a script ends with one line and status 1

for name, part in (("training", train), ("validation", val)):
    print(f"{len(part)} photos for {name}, {len(part.ground_truth['annotations'])} objects")
print(f"{train.num_classes} classes: {', '.join(train.class_names)}")
print(f"{detector.count_params():,} parameters")

# %% [markdown]
# ## Train
# Labels are a dict of `"boxes"` and `"classes"`, padded with -1. Gradients are clipped against early jumps of the loss.

# %%
detector.compile(
    optimizer=keras.optimizers.AdamW(args.learning_rate, weight_decay=0.05, global_clipnorm=10.0),
    box_loss="smoothl1",
    classification_loss="focal",
)
detector.fit(batches, epochs=args.epochs, verbose=2)
detector.inference_settings = DetectionSettings(class_names=train.class_names, image_size=args.image_size)

# %% [markdown]
# ## Measure
# AP is the mean over classes and ten thresholds of overlap, AP50 that at an overlap of one half; APs, APm and APl are
# those of small, medium and large objects. A dash: there are none.

# %%
print(format_coco_metrics(evaluate_detector(detector, val, args.batch_size)))

# %% [markdown]
# ## Save and load
# `load_model` is `keras.models.load_model` and the import of what the detector was made with. To train it further,
# compile it again. The file has the names of the classes and the size of the images too, `inference_settings`.

# %%
output = Path(args.output)
output.mkdir(parents=True, exist_ok=True)
detector.save(output / "detector.keras")
loaded = load_model(output / "detector.keras")

images, labels = next(val.batches(args.draw, image_size=args.image_size).as_numpy_iterator())
before, after = (model.predict(images, verbose=0) for model in (detector, loaded))
for key, values in before.items():
    np.testing.assert_allclose(after[key], values, atol=1e-3, err_msg=f"The loaded detector gives different {key}.")
print(f"detector.keras loaded: the same {before['num_detections'].sum()} detections on {len(images)} photos")

# %% [markdown]
# ## Draw
# `detect` takes photos of any size, your own as `keras_mambaout.load_image("photo.jpg")`: each goes through
# `image, scale = keras_mambaout.letterbox(photo, 640)` and `detector.predict`, and its boxes, divided by the scale, are
# in pixels of the photo again; size and names are those that the detector carries. It returns what counts for AP, down
# to a confidence of 0.05 (`confidence_threshold` of `retinanet`); what is worth drawing is chosen here.

# %%
examples = [val.load(val.image_ids.index(image_id)) for image_id in labels["image_id"]]
photos = [photo for photo, _ in examples]
found = detect(loaded, photos, confidence_threshold=args.confidence)
labelled = [objects for _, objects in examples]  # boxes as xyxy in pixels of the photos

heights = [photo.shape[0] / photo.shape[1] for photo in photos]
figure, rows = plt.subplots(
    len(photos), 2, figsize=(10, 5 * sum(heights) + 0.4), height_ratios=heights, squeeze=False, layout="constrained"
)
for photo, objects, detections, (left, right) in zip(photos, labelled, found, rows, strict=True):
    left.imshow(draw_detections(photo, **objects, class_names=val.class_names))
    right.imshow(draw_detections(photo, **detections))
for axis in rows.flat:
    axis.axis("off")
rows[0, 0].set_title("labels")
rows[0, 1].set_title(f"detections of confidence {args.confidence} or more")
figure.savefig(output / "detections.png", dpi=120)
print(f"saved detector.keras and detections.png in {output}")
