"""LoRA (low-rank adaptation): the blocks' dense layers learn a product of two narrow matrices, and nothing else."""

from collections.abc import Sequence

import keras

from keras_mambaout.arguments import check_positive_integer
from keras_mambaout.layers import GatedCNNBlock
from keras_mambaout.models.freezing import frozen_layer_names

TARGETS = ("fc1", "fc2")  # dense layers of a block


def add_lora(model: keras.Model, rank: int, target_layer_names: Sequence[str] | None) -> None:
    """Freezes the model and gives dense layers of its blocks the kernel `kernel + a @ b`, of which `a` and `b` train.

    Args:
        model: A `MambaOutBackbone` or `MambaOutClassifier`.
        rank: Columns of `a` `(C, rank)` and rows of `b` `(rank, units)`.
        target_layer_names: Which dense layers; `None` is all, `("fc1", "fc2")`.

    Raises:
        ValueError: If the rank is no positive integer, another layer is named, or the model has LoRA already.
    """
    check_positive_integer("rank", rank)
    targets = TARGETS if target_layer_names is None else tuple(target_layer_names)
    if not targets or set(targets) - set(TARGETS):
        raise ValueError(f"`target_layer_names` must be one or both of {', '.join(TARGETS)}, got {targets}.")
    blocks = [layer for layer in model.layers if isinstance(layer, GatedCNNBlock)]
    if any(block.fc1.lora_enabled or block.fc2.lora_enabled for block in blocks):
        raise ValueError("LoRA is enabled already. Save and load the model first: that merges it into the kernels.")
    model.frozen_without_lora = tuple(frozen_layer_names(model))
    model.trainable = True
    for layer in model.layers:
        layer.trainable = False
    for block in blocks:
        block.trainable = True
        for part in (block.norm, block.conv, block.ls, block.fc1, block.fc2):
            if part is not None:
                part.trainable = part.name in targets
        for dense in (getattr(block, name) for name in targets):
            dense.bias.trainable = False
            dense.enable_lora(rank)
