"""The table of published weights, and what an argument `weights` means."""

import dataclasses
import fnmatch
import os
from collections.abc import Mapping

from keras_mambaout.config import VARIANTS, MambaOutConfig, resolve_config
from keras_mambaout.inference_settings import ClassificationSettings
from keras_mambaout.preprocessing.imagenet import imagenet_names
from keras_mambaout.weights.hub import PREFIX, HubRepository

FILE_SUFFIXES = (".safetensors", ".weights.h5", ".pth")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One published file and how its accuracy was measured.

    Args:
        variant: Name of the model.
        tag: Name of the training run; `<variant>.<tag>` is the file's name on the hub.
        image_size: Side of the images at the end of training.
        crop_pct: Share of the resized image that the centre crop keeps, at `image_size`.
        crop_mode: `"center"` (resize the shorter side, crop) or `"squash"` (resize both sides).
        classes: Number of classes.
        top1, top5: ImageNet-1k accuracy in percent at `image_size`; `None` where there is none.
        test_image_size, test_top1, test_top5: The same at a larger size, with `crop_pct` 1.0.

    Source: timm's published results.
    """

    variant: str
    tag: str
    image_size: int = 224
    crop_pct: float = 1.0
    crop_mode: str = "center"
    classes: int = 1000
    top1: float | None = None
    top5: float | None = None
    test_image_size: int | None = None
    test_top1: float | None = None
    test_top5: float | None = None

    @property
    def name(self) -> str:
        """`<variant>.<tag>`."""
        return f"{self.variant}.{self.tag}"

    @property
    def hub_id(self) -> str:
        """Repository on the Hugging Face hub."""
        return f"timm/{self.name}"

    @property
    def settings(self) -> ClassificationSettings:
        """What they were trained for."""
        return ClassificationSettings(
            class_names=imagenet_names() if self.classes == len(imagenet_names()) else None,
            image_size=self.image_size,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
        )


def _published(name, top1, top5, test_top1, test_top5, **others):
    variant, tag = name.split(".")
    return PublishedWeights(
        variant=variant,
        tag=tag,
        top1=top1,
        top5=top5,
        test_image_size=288,
        test_top1=test_top1,
        test_top5=test_top5,
        **others,
    )


# The first of a variant is what `weights="imagenet"` means.
PUBLISHED: Mapping[str, PublishedWeights] = {
    weights.name: weights
    for weights in (
        _published("mambaout_femto.in1k", 78.880, 94.408, 79.912, 95.134),
        _published("mambaout_kobe.in1k", 79.986, 94.982, 81.064, 95.682),
        _published("mambaout_tiny.in1k", 82.742, 96.098, 83.452, 96.540),
        _published("mambaout_small.in1k", 84.094, 96.626, 84.512, 96.970),
        _published("mambaout_base.in1k", 84.194, 96.668, 84.730, 96.934),
        _published("mambaout_small_rw.sw_e450_in1k", 84.040, 96.742, 84.604, 97.096),
        _published("mambaout_base_short_rw.sw_e500_in1k", 84.364, 96.944, 84.842, 97.286, crop_pct=0.95),
        _published("mambaout_base_tall_rw.sw_e500_in1k", 84.436, 96.956, 84.988, 97.334, crop_pct=0.95),
        _published("mambaout_base_wide_rw.sw_e500_in1k", 84.448, 96.872, 84.966, 97.222, crop_pct=0.95),
        _published("mambaout_base_plus_rw.sw_e150_in12k_ft_in1k", 86.642, 98.150, 86.916, 98.238),
        PublishedWeights(
            variant="mambaout_base_plus_rw",
            tag="sw_e150_r384_in12k_ft_in1k",
            image_size=384,
            crop_mode="squash",
            top1=87.508,
            top5=98.428,
        ),
        PublishedWeights(variant="mambaout_base_plus_rw", tag="sw_e150_in12k", classes=11821),
    )
}


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names, `<variant>.<tag>`, of the published weights that match a shell pattern."""
    return fnmatch.filter(PUBLISHED, pattern)


def resolve_weights(
    weights: str | os.PathLike | PublishedWeights | None, config: str | Mapping | MambaOutConfig
) -> PublishedWeights | HubRepository | str | None:
    """Returns what an argument `weights` means for a model.

    Args:
        weights: `None`, `"imagenet"`, a tag, `<variant>.<tag>`, `"hf://user/repo"`, or a path.
        config: Name of the model's variant, or its `MambaOutConfig`.

    Returns:
        `None`, a `PublishedWeights`, a `HubRepository`, or the path as a string.

    Raises:
        ValueError: If there is no such tag for this variant, no such file, or the repository's name is malformed.
    """
    if weights is None or isinstance(weights, PublishedWeights):
        return weights
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(f"`weights` must be None, 'imagenet', a tag, 'hf://user/repo' or a path, got {weights!r}.")
    weights, config = os.fspath(weights), resolve_config(config)
    if weights.startswith(PREFIX):
        return HubRepository.parse(weights)
    candidates = [entry for entry in PUBLISHED.values() if VARIANTS[entry.variant] == config]
    for entry in candidates:
        if weights in ("imagenet", entry.tag, entry.name):
            return entry
    if not weights.endswith(FILE_SUFFIXES):
        choices = ", ".join(repr(entry.tag) for entry in candidates)
        if choices:
            choices = f"'imagenet', {choices}"
        elif config.token_mixer == "conv":
            choices = "none (this architecture has no published weights)"
        else:
            choices = (
                f"none, for token_mixer={config.token_mixer!r}. What it shares with MambaOut is loaded by "
                f"load_weights(model, {weights!r}, fresh_token_mixer=True) into a model made with weights=None"
            )
        raise ValueError(
            f"Unknown weights {weights!r}. Published weights of this model: {choices}. "
            f"Or pass None, 'hf://user/repo', or a path that ends in {', '.join(FILE_SUFFIXES)}."
        )
    if not os.path.isfile(weights):
        raise ValueError(f"There is no weights file at {weights!r} (working directory {os.getcwd()!r}).")
    return weights
