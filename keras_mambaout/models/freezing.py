"""Which layers of a model are trained."""

from collections.abc import Iterable

import keras

from keras_mambaout.config import STAGES


def freeze_stages(model: keras.Model, stages: int | None) -> None:
    """Freezes the stem and the first stages of a MambaOut model and lets the rest train.

    Args:
        model: A `MambaOutBackbone` or `MambaOutClassifier`.
        stages: How many stages to freeze with the stem, 0 (the stem alone) to 4 (the whole
            backbone; a classifier's head still trains). A stage's downsampling belongs to it.
            `None` freezes nothing: everything trains again.

    Raises:
        ValueError: If `stages` is not 0 to 4 or None, or `model` is not a MambaOut model.

    Call it before `model.compile`, as Keras asks for every change of `trainable`.

    Example:
    ```python
    model = keras_mambaout.MambaOutTiny(classes=5)
    keras_mambaout.freeze_stages(model, 2)
    model.compile("adamw", "sparse_categorical_crossentropy")
    ```
    """
    if isinstance(stages, bool) or stages not in (None, *range(STAGES + 1)):
        raise ValueError(f"`stages` must be an integer from 0 to {STAGES}, or None, got {stages!r}.")
    if "stem" not in (layer.name for layer in model.layers):
        raise ValueError(
            "`model` has no layer named 'stem': pass a MambaOutBackbone or MambaOutClassifier. If it is part of "
            "a model of your own, get it from there first with `model.get_layer(name)`."
        )
    for whole in (model, getattr(model, "backbone", model)):
        whole.trainable = True
    frozen = () if stages is None else ("stem", *(f"stages_{stage}_" for stage in range(stages)))
    for layer in model.layers:  # one by one: `model.trainable = True` does nothing where it is True already
        layer.trainable = not layer.name.startswith(frozen)


def freeze_layers(model: keras.Model, names: Iterable[str]) -> None:
    """Sets `trainable = False` on the layers of these names."""
    for name in names:
        model.get_layer(name).trainable = False


def frozen_layer_names(model: keras.Model) -> list[str]:
    """Returns the names of the model's frozen layers that have weights; those that LoRA has frozen do not count.

    LoRA is merged when the model is saved, and the loaded model trains as it did before.
    """
    if hasattr(model, "frozen_without_lora"):
        return list(model.frozen_without_lora)
    return [layer.name for layer in model.layers if layer.weights and not layer.trainable]
