"""`keras-mambaout predict` and `evaluate`: the ImageNet classes of photos, the accuracy on a data set."""

import json

import numpy as np

from keras_mambaout.classification.evaluation import evaluate_classifier
from keras_mambaout.commands.data import for_evaluation
from keras_mambaout.models.registry import create_model
from keras_mambaout.models.saved import load_model
from keras_mambaout.preprocessing.imagenet import decode_predictions, resize_and_center_crop
from keras_mambaout.preprocessing.reading import load_image
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


def evaluate(args):
    """Prints top-1 and top-5 accuracy on a folder of class folders or a TensorFlow data set."""
    if args.data is None:
        raise ValueError("Give --data: a folder of class folders, or a name of TensorFlow Datasets.")
    name = args.model or DEFAULT_MODEL
    dataset = for_evaluation(args.data, args.split, args.data_dir, name)
    if name.endswith(".keras"):
        model, published = load_model(name), PublishedWeights(variant=name, tag="own")
    else:
        model, published = _with_weights(name, args.weights, dataset.num_classes)
    size = published.image_size if args.size is None else args.size
    crop_pct = published.crop_pct if size == published.image_size else 1.0
    metrics = evaluate_classifier(
        model,
        dataset,
        args.batch_size,
        size,
        crop_pct if args.crop_pct is None else args.crop_pct,
        published.crop_mode,
    )
    if args.json:
        print(json.dumps(metrics, indent=2))
        return
    accuracies = ", ".join(f"{name} {metrics[name]:.2%}" for name in ("top1", "top5") if name in metrics)
    print(f"{accuracies} of {metrics['images']} images")
    if dataset.unreadable:
        print(f"{len(dataset.unreadable)} unreadable images were left out: {', '.join(dataset.unreadable)}")


def _with_weights(name, weights, classes):
    """Returns a model by name with its weights, and what is known of their images; the default for a file."""
    published = resolve_weights(weights, name)
    if not isinstance(published, PublishedWeights):
        published = PublishedWeights(variant=name, tag="own", classes=classes)
    model = create_model(name, weights=None, classes=published.classes)
    if load_weights(model, weights):
        raise ValueError(f"{weights!r} has no classifier of {published.classes} classes, as the images have.")
    return model, published
