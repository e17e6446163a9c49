"""Runs as a separate process: loads what a different backend saved and writes its predictions.

KERAS_BACKEND=jax python tests/helpers/cross_backend.py FOLDER
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np

import keras_mambaout
from keras_mambaout.models.saved import load_model

BACKENDS = ("tensorflow", "jax", "torch")


def main(folder):
    images = np.load(folder / "images.npy")
    instances = load_model(folder / "mask_rcnn.keras").predict(images, verbose=0)
    scenes = load_model(folder / "upernet.keras").predict(images, verbose=0)
    whole = keras.models.load_model(folder / "model.keras")
    by_weights = keras_mambaout.create_model(
        "mambaout_test", weights=folder / "model.weights.h5", classes=7, drop_path_rate=0.1
    )
    shared = load_model(folder / "shared")  # as `push_to_hub` uploads it
    np.savez(
        folder / f"{keras.backend.backend()}.npz",
        keras_file=whole.predict(images, verbose=0),
        weights_file=by_weights.predict(images, verbose=0),
        shared=shared.predict(images, verbose=0),
        scenes=scenes,
        **instances,
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
