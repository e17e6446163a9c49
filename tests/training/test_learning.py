"""The recipe trains on real photos: a short run on every backend, the whole by `make test-slow`."""

import dataclasses

import keras
import pytest

import keras_mambaout
from keras_mambaout.classification import ClassificationDataset, ClassificationRecipe, evaluate_classifier
from keras_mambaout.training import train

# The paper's recipe scaled down to 1000 photos: the fine-tuning recipe's augmentation, without weights to start from.
CIFAR = dataclasses.replace(
    ClassificationRecipe.finetune("mambaout_test"),
    epochs=120,
    warmup_epochs=12,
    batch_size=32,
    base_learning_rate=4e-3,
    base_batch_size=32,
    image_size=64,
    ema_momentum=0.995,
)


def run(data_dir, output, recipe):
    """Trains the test variant on 1000 photos of CIFAR-10 and returns the logs and the 200 test photos."""
    folder = data_dir / "cifar10_jpeg"
    data, test_data = (ClassificationDataset.from_folder(folder / part) for part in ("train", "test"))
    keras.utils.set_random_seed(0)
    model = keras_mambaout.create_model(
        "mambaout_test", weights=None, classes=data.num_classes, drop_path_rate=recipe.drop_path_rate
    )
    return train(model, recipe, data, test_data, str(output)), test_data


@pytest.mark.first_on("torch")
def test_a_short_run_lowers_the_loss(data_dir, tmp_path):
    recipe = dataclasses.replace(CIFAR, epochs=3, warmup_epochs=0.5, image_size=32, batch_size=100, ema_momentum=None)
    history, _ = run(data_dir, tmp_path / "run", recipe)
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["val_loss"][-1] < history["val_loss"][0]


@pytest.mark.slow
def test_the_whole_run_learns(data_dir, tmp_path):
    history, test_data = run(data_dir, tmp_path / "run", CIFAR)
    model = keras.models.load_model(tmp_path / "run" / "last.keras")
    metrics = evaluate_classifier(model, test_data, image_size=CIFAR.image_size)
    print(f"{keras.backend.backend()}: {metrics}, loss {history['loss'][0]:.3f} to {history['loss'][-1]:.3f}")
    assert metrics["top1"] > 0.4
