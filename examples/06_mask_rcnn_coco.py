# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Segment instances with Mask R-CNN
#
# The paper's system for COCO: a MambaOut backbone under a feature pyramid and Mask R-CNN, trained on labels with masks
# in COCO's format, measured with COCO's average precision (AP) of boxes and of masks, saved, loaded again and drawn.
#
# ```
# python examples/06_mask_rcnn_coco.py --train-json coco/annotations/instances_train2017.json \
#     --train-images coco/train2017 --val-json coco/annotations/instances_val2017.json --val-images coco/val2017 \
#     --shortest-edge
# python examples/06_mask_rcnn_coco.py --train-json own.json --train-images photos --limit 8 \
#     --model mambaout_femto --weights none --image-size 128 --channels 64 --box-samples 32 --epochs 80 \
#     --learning-rate 1e-3 --measure-every 40
# ```
#
# - **Needs** the extras `detection` and `demo`, and TensorFlow, which reads the photos whatever the backend. The
#   weights are downloaded once, 106 MB for `mambaout_tiny`.
# - **Writes** into `output/mask_rcnn`: `detector.keras`, `instances.png` and `instances.json`.
# - **Expect** of the second command, with PyTorch on one busy CPU core, 13 minutes and an AP50 of about 0.8 for boxes
#   and for masks on the eight photos it has learnt by heart. COCO itself wants a GPU and is not measured here; the
#   paper has an AP of 45.1 for boxes and 41.0 for masks with `mambaout_tiny`.
# - **Later**, `keras-mambaout predict photo.jpg --model detector.keras --classes own.json`. With the paper's
#   schedule of the learning rate, `keras-mambaout train instances`.

# %% tags=["install"]
# %pip install -q "keras-mambaout[tensorflow,detection,demo]"

# %%
import argparse
import json
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
    CocoDataset,
    CocoMeanAveragePrecision,
    DetectionSettings,
    detect,
    evaluate_detector,
    format_coco_metrics,
    mask_rcnn,
)
from keras_mambaout.training import AdamW
from keras_mambaout.visualization import draw_detections

# %% [markdown]
# ## Settings
# In a notebook, set your own in a cell below this one, such as `args.train_json = "own.json"`. `--shortest-edge` is the
# paper's size of images: the short side becomes 800 pixels, unless the long side would be more than 1333. With
# `--image-size` photos fit into a square, and all batches have one shape, so that JAX compiles once. `--channels` and
# `--box-samples` below the paper's 256 and 512 make a step smaller.

# %% tags=["parameters"]
LONG_SIDE = 1333

parser = argparse.ArgumentParser(description="Train Mask R-CNN over a MambaOut backbone.")
parser.add_argument("--train-json", default="annotations/instances_train2017.json", help="labels in COCO's format")
parser.add_argument("--train-images", default="train2017", metavar="DIR", help="the folder of the photos")
parser.add_argument("--val-json", help="for validation (default: that for training)")
parser.add_argument("--val-images", metavar="DIR", help="for validation (default: that for training)")
parser.add_argument("--limit", type=int, help="take only so many photos (default: all)")
parser.add_argument("--model", default="mambaout_tiny", help="the backbone, one of list_models()")
parser.add_argument("--weights", default="imagenet", help="imagenet, none, a tag of list_weights(), or a path")
sizes = parser.add_mutually_exclusive_group()
sizes.add_argument("--image-size", type=int, default=640, help="side of the squares that photos fit into")
sizes.add_argument("--shortest-edge", type=int, nargs="?", const=800, help="of photos instead (the paper's: 800)")
parser.add_argument("--channels", type=int, default=256, help="of the pyramid and the heads (the paper's: 256)")
parser.add_argument(
    "--box-samples", type=int, default=512, help="that the heads learn from, per photo (the paper's: 512)"
)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--learning-rate", type=float, default=1e-4)
parser.add_argument("--measure-every", type=int, default=1, metavar="EPOCHS", help="AP while training (default: 1)")
parser.add_argument("--draw", type=int, default=4, help="how many photos to draw (default: 4)")
parser.add_argument("--confidence", type=float, default=0.5, help="of what is drawn and exported (default: 0.5)")
parser.add_argument("--output", default="output/mask_rcnn", metavar="DIR")
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## The photos and the detector
# Photos keep their proportions and stand at the top left of their batch; `sizes=True` tells the model where they end,
# so that nothing is looked for in the padding. Masks of the labels are in the frames of their boxes, 112 x 112 cells
# each, which takes far less memory than masks as large as the photos. Training leaves out photos without objects and
# mirrors half of the others.

# %%
keras.utils.set_random_seed(0)
resize = {"image_size": args.image_size}
if args.shortest_edge:
    resize = {"shortest_edge": args.shortest_edge, "longest_edge": LONG_SIDE}
try:
    train = CocoDataset.from_json(args.train_json, args.train_images)
    val = CocoDataset.from_json(args.val_json, args.val_images or args.train_images) if args.val_json else train
    if args.limit:
        train, val = (part.subset(range(min(args.limit, len(part)))) for part in (train, val))
    detector = mask_rcnn(
        args.model,
        num_classes=train.num_classes,
        weights=None if args.weights == "none" else args.weights,
        channels=args.channels,
        box_samples=args.box_samples,
    )
    batches = train.batches(args.batch_size, training=True, **resize, masks=True, mask_size=112, sizes=True)
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
# The loss is the sum of five: objects and boxes of the proposals, classes and boxes of the detections, and masks; each
# is in the logs. `AdamW` decays matrices and kernels only. Gradients are clipped against early jumps of the loss.
# The callback adds `val_bbox_AP`, `val_segm_AP` and others to the logs; a `ModelCheckpoint` after it can keep the best
# detector.

# %%
detector.compile(AdamW(args.learning_rate, weight_decay=0.05, global_clipnorm=10.0))
precision = CocoMeanAveragePrecision(
    val, args.batch_size, **resize, every=args.measure_every, iou_type=("bbox", "segm")
)
detector.fit(batches, epochs=args.epochs, callbacks=[precision], verbose=2)
detector.inference_settings = DetectionSettings(class_names=train.class_names, **resize)

# %% [markdown]
# ## Save and load
# `load_model` is `keras.models.load_model` and the import of what the detector was made with. To train it further,
# compile it again. The file has the names of the classes and the size of the images too, `inference_settings`.

# %%
output = Path(args.output)
output.mkdir(parents=True, exist_ok=True)
detector.save(output / "detector.keras")
loaded = load_model(output / "detector.keras")

images, labels = next(val.batches(args.draw, **resize, sizes=True).as_numpy_iterator())
before, after = (model.predict(images, verbose=0) for model in (detector, loaded))
for key, values in before.items():
    np.testing.assert_allclose(after[key], values, atol=1e-3, err_msg=f"The loaded detector gives different {key}.")
print(f"detector.keras loaded: the same {before['num_detections'].sum()} detections on {len(labels['scale'])} photos")

# %% [markdown]
# ## Measure
# AP is the mean over classes and ten thresholds of overlap, AP50 that at an overlap of one half; APs, APm and APl are
# those of small, medium and large objects. A dash: there are none. Masks are measured at the size of the photos.

# %%
metrics = evaluate_detector(loaded, val, args.batch_size, iou_type=("bbox", "segm"))
for kind, title in (("bbox", "boxes"), ("segm", "masks")):
    print(f"{title}\n{format_coco_metrics(metrics[kind])}")

# %% [markdown]
# ## Draw
# `detect` takes photos of any size, your own as `keras_mambaout.load_image("photo.jpg")`; boxes and masks come back in
# pixels of each photo. The detector returns what counts for AP, down to a confidence of 0.05 (`confidence_threshold` of
# `mask_rcnn`); what is worth drawing is chosen here.


# %%
examples = [val.load(val.image_ids.index(image_id), masks=True) for image_id in labels["image_id"]]
photos = [photo for photo, _ in examples]
found = detect(loaded, photos, confidence_threshold=args.confidence, batch_size=1)
labelled = [objects for _, objects in examples]  # in pixels of the photos

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
figure.savefig(output / "instances.png", dpi=120)

# %% [markdown]
# ## Export
# The detections of the first of these photos in COCO's format of results, which pycocotools and other tools read:
# boxes as left, top, width, height, and masks as run lengths (RLE), which `masks="rle"` asks for.

# %%
(detections,) = detect(loaded, photos[:1], confidence_threshold=args.confidence, masks="rle")
results = [
    {
        "image_id": int(labels["image_id"][0]),
        "category_id": val.category_ids[index],
        "bbox": [left, top, right - left, bottom - top],
        "score": confidence,
        "segmentation": runs,
    }
    for (left, top, right, bottom), index, confidence, runs in zip(
        detections["boxes"].tolist(),
        detections["classes"],
        detections["confidence"].tolist(),
        detections["masks"],
        strict=True,
    )
]
(output / "instances.json").write_text(json.dumps(results, indent=1))
print(f"saved detector.keras, instances.png and instances.json ({len(results)} objects) in {output}")
