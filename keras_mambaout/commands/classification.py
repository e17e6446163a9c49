"""`keras-mambaout predict`: the ImageNet classes of photos."""

import json

import numpy as np

from keras_mambaout.models.registry import create_model
from keras_mambaout.preprocessing.imagenet import decode_predictions, resize_and_center_crop
from keras_mambaout.preprocessing.load_image import load_image
from keras_mambaout.weights.loader import load_weights
from keras_mambaout.weights.pretrained import PublishedWeights, resolve_weights

DEFAULT_MODEL = "mambaout_tiny"


def predict(args):
    """Prints, for each photo, its most probable classes."""
    model_name = args.model or DEFAULT_MODEL
    published = resolve_weights(args.weights, model_name)
    if not isinstance(published, PublishedWeights):  # a file of the user's own
        published = PublishedWeights(variant=model_name, tag="own")
    photos = [load_image(path) for path in args.images]
    size = published.image_size if args.size is None else args.size
    inputs = np.stack([resize_and_center_crop(p, size, published.crop_pct, published.crop_mode) for p in photos])

    model = create_model(model_name, weights=None)
    if load_weights(model, args.weights):
        raise ValueError(f"{args.weights!r} has no classifier of the 1000 ImageNet classes, so it cannot name photos.")
    decoded = decode_predictions(model.predict(inputs, batch_size=args.batch_size, verbose=0), top=args.top)

    if args.json:
        results = [
            {"image": path, "predictions": [{"synset": s, "name": n, "score": score} for s, n, score in predictions]}
            for path, predictions in zip(args.images, decoded, strict=True)
        ]
        print(json.dumps(results, indent=2))
        return
    for path, predictions in zip(args.images, decoded, strict=True):
        print(path)
        for synset, name, score in predictions:
            print(f"  {score:7.2%}  {name.replace('_', ' ')} ({synset})")
