"""Trains a small MambaOut on real handwritten digits, saves it, reloads it and shows what it sees.

    make demo                     or     python examples/00_digits_demo.py
    BACKEND=jax make demo         or     KERAS_BACKEND=jax python examples/00_digits_demo.py

Needs `pip install "keras-mambaout[tensorflow,demo]"` (or `jax`, or `torch`). The 1797 digits come with
scikit-learn. Takes about a minute on two CPU cores and reaches about 99 % on the test digits.
Writes to `demo/`: `digits.keras`, `predictions.png`, `training.png`. At the end the published ImageNet
weights are tried on a photo that comes with scikit-image; without network that is skipped.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_mambaout

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONFIG = keras_mambaout.MambaOutConfig(depths=(1, 1, 2, 1), dims=(16, 32, 64, 96), kernel_size=3)
SEED = 0


def digits():
    """Training and test digits: images (N, 32, 32, 1) of 0-255 and labels (N,)."""
    data = load_digits()
    images = data.images[..., None].astype("float32") * (255 / 16)  # (N, 8, 8, 1)
    images = keras.ops.image.resize(images, (32, 32), "bicubic", data_format="channels_last")
    images = np.clip(keras.ops.convert_to_numpy(images), 0, 255)
    return train_test_split(images, data.target, test_size=0.2, stratify=data.target, random_state=SEED)


class ShiftedDigits(keras.utils.PyDataset):
    """Batches in random order, each digit moved by up to 2 pixels up, down, left or right."""

    def __init__(self, images, labels, batch_size):
        super().__init__()
        self.padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
        self.labels, self.batch_size = labels, batch_size
        self.random = np.random.default_rng(SEED)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.labels))

    def __len__(self):
        return len(self.labels) // self.batch_size

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        corners = self.random.integers(0, 5, (len(chosen), 2))
        images = [self.padded[i, y : y + 32, x : x + 32] for i, (y, x) in zip(chosen, corners, strict=True)]
        return np.stack(images), self.labels[chosen]


def build(steps):
    """A MambaOut of 0.3 million parameters, compiled for this number of training steps."""
    backbone = keras_mambaout.MambaOutBackbone(CONFIG, input_shape=(32, 32, 1), drop_path_rate=0.05)
    model = keras_mambaout.MambaOutClassifier(backbone, classes=10, dropout_rate=0.2, name="digits")
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps, warmup_target=3e-3, warmup_steps=steps // 10
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def draw_training(history, path):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, metric in zip(axes, ("loss", "accuracy"), strict=True):
        for name, label in ((metric, "training"), (f"val_{metric}", "test")):
            axis.plot(range(1, len(history[name]) + 1), history[name], label=label)
        axis.set(xlabel="epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    figure.suptitle(f"MambaOut on handwritten digits ({keras.backend.backend()})")
    figure.savefig(path, dpi=100)


def draw_predictions(images, truth, predicted, path):
    figure, axes = plt.subplots(4, 10, figsize=(10, 5), layout="constrained")
    for axis, image, true, guess in zip(axes.flat, images, truth, predicted, strict=False):
        axis.imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{guess} (is {true})", fontsize=8, color="black" if guess == true else "red")
        axis.axis("off")
    figure.suptitle("Test digits: predicted (true); mistakes first, in red")
    figure.savefig(path, dpi=100)


def name_a_photo():
    """Names what is in a photo with the published weights, or says why that was skipped."""
    from skimage.data import astronaut

    try:
        model = keras_mambaout.MambaOutFemto(weights="imagenet")
    except keras_mambaout.DownloadError as error:
        print(f"ImageNet weights skipped: {error}")
        return
    photo = keras_mambaout.resize_and_center_crop(keras_mambaout.load_image(astronaut()))
    print("MambaOutFemto on scikit-image's photo of an astronaut:")
    for _, name, score in keras_mambaout.decode_predictions(model.predict(photo[None], verbose=0))[0]:
        print(f"  {score:7.2%}  {name}")


def main():
    parser = argparse.ArgumentParser(description="Trains a small MambaOut on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("demo"), help="folder for what is written")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(SEED)
    train_images, test_images, train_labels, test_labels = digits()
    batches = ShiftedDigits(train_images, train_labels, args.batch_size)
    model = build(steps=args.epochs * len(batches))
    print(f"{model.count_params():,} parameters, Keras {keras.__version__} on {keras.backend.backend()}")
    history = model.fit(batches, epochs=args.epochs, validation_data=(test_images, test_labels)).history

    path = args.output / "digits.keras"
    model.save(path)
    probabilities = model.predict(test_images, verbose=0)
    reloaded = keras.models.load_model(path).predict(test_images, verbose=0)
    if not np.array_equal(probabilities, reloaded):
        raise SystemExit("The reloaded model does not predict what the saved one does.")
    predicted = probabilities.argmax(-1)
    accuracy = np.mean(predicted == test_labels)
    print(f"Saved {path}, reloaded it: identical predictions on {len(test_images)} test digits.")
    print(f"Test accuracy: {accuracy:.2%}")

    mistakes_first = np.argsort(predicted == test_labels, kind="stable")
    draw_training(history, args.output / "training.png")
    draw_predictions(
        test_images[mistakes_first],
        test_labels[mistakes_first],
        predicted[mistakes_first],
        args.output / "predictions.png",
    )
    print(f"Wrote {args.output / 'training.png'} and {args.output / 'predictions.png'}.")
    name_a_photo()


if __name__ == "__main__":
    main()
