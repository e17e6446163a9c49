"""The model card: the README of a model on the Hugging Face hub."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from huggingface_hub import EvalResult, ModelCardData

from keras_mambaout.arguments import is_number
from keras_mambaout.config import VARIANTS
from keras_mambaout.inference_settings import (
    ClassificationSettings,
    DetectionSettings,
    InferenceSettings,
    SegmentationSettings,
    settings_of,
)

CLASSES_SHOWN = 200
COUNTS = ("images", "pixels")  # what evaluation returns that is no metric
METRIC_TYPES = {"top1": "accuracy"}  # where the hub has a name of its own
KERAS = """\
import keras_mambaout
from keras_mambaout.{package} import {function}

model = keras_mambaout.load_model("hf://{repository}")
photo = keras_mambaout.load_image("photo.jpg")
(found,) = {function}(model, [photo])
print(found)"""
KERAS_FEATURES = """\
import keras_mambaout

model = keras_mambaout.load_model("hf://{repository}")
model.summary()"""
TIMM = """\
import timm
from PIL import Image

model = timm.create_model("hf-hub:{repository}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
logits = model(transform(Image.open("photo.jpg").convert("RGB"))[None])
print(logits.softmax(-1), model.pretrained_cfg.get("label_names"))"""


def model_card(
    model: keras.Model,
    repository: str,
    for_timm: bool,
    license: str = "apache-2.0",
    dataset: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> str:
    """Returns the text of a model card.

    Args:
        model: The model.
        repository: `"user/repo"` or `"user/repo@revision"`.
        for_timm: Whether timm loads it too.
        license, dataset, metrics: As for `save_for_hub`.

    Raises:
        ValueError: If the license or data set is no text, or the metrics have no number.
    """
    if not isinstance(license, str) or not re.fullmatch(r"[a-z0-9.-]+", license):
        raise ValueError(f"`license` must be as the hub names it, such as 'apache-2.0' or 'other', got {license!r}.")
    if dataset is not None and (not isinstance(dataset, str) or not dataset.strip()):
        raise ValueError(f"`dataset` must be the name of a data set, such as 'imagenet-1k', or None, got {dataset!r}.")
    numbers = dict(_numbers(metrics))
    if metrics is not None and not numbers:
        raise ValueError(f"`metrics` must have numbers by name, as an evaluation returns them, got {metrics!r:.80}.")
    task, package, function = _task(model)
    name = repository.partition("/")[2].partition("@")[0]
    data = ModelCardData(
        license=license,
        # "keras" would make the hub show keras.saving.load_model("hf://..."), which reads another format
        library_name="timm" if for_timm else "keras-mambaout",
        tags=["keras", "keras-mambaout", "mambaout", *(["timm"] if for_timm else [])],
        pipeline_tag=task,
        datasets=[dataset] if dataset and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset) else None,
        model_name=name if numbers else None,
        eval_results=[
            EvalResult(
                task_type=task or "other",
                dataset_type=dataset or "unknown",
                dataset_name=dataset or "unknown",
                metric_type=METRIC_TYPES.get(metric, metric),
                metric_name=metric,
                metric_value=value,
            )
            for metric, value in numbers.items()
        ]
        or None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        _description(model, dataset),
        "## Use it in Keras",
        'On TensorFlow, JAX or PyTorch: `pip install "keras-mambaout[torch]"`, or `[jax]`, or `[tensorflow]`.',
        _code("python", (KERAS if function else KERAS_FEATURES), repository, package, function),
    ]
    if function:
        parts += [
            "From a shell:",
            _code("bash", "keras-mambaout predict photo.jpg --model hf://{repository}", repository, package, function),
        ]
    if for_timm:
        parts += ["## Use it in timm", _code("python", TIMM, repository, package, function)]
    if numbers:
        rows = "\n".join(f"| {metric} | {value:.4g} |" for metric, value in numbers.items())
        parts += [
            "## Evaluation",
            f"On {dataset or 'data that is not named'}:",
            f"| metric | value |\n|---|---|\n{rows}",
        ]
    parts += _classes(model)
    return "\n\n".join(parts) + "\n"


def _task(model):
    """Returns the hub's name of the task, and where the function that does it is; `None` where there is none."""
    settings = settings_of(model, InferenceSettings)
    if isinstance(settings, ClassificationSettings):
        return "image-classification", "classification", "classify"
    if isinstance(settings, SegmentationSettings):
        return "image-segmentation", "segmentation", "segment"
    if isinstance(settings, DetectionSettings):
        masks = getattr(model, "finds_masks", False)
        return "image-segmentation" if masks else "object-detection", "detection", "detect"
    return None, None, None


def _description(model, dataset):
    """Returns in a sentence or two what the model is."""
    network = getattr(model, "config", None) or getattr(getattr(model, "backbone", None), "config", None)
    variant = next((f" over `{name}`" for name, config in VARIANTS.items() if config == network), "")
    classes = f", {model.num_classes} classes" if getattr(model, "num_classes", None) else ""
    trained = f", trained on {dataset}" if dataset else ""
    settings = settings_of(model, InferenceSettings).to_dict()
    sizes = ", ".join(f"{name} {value}" for name, value in settings.items() if name not in ("class_names", "palette"))
    return (
        f"{type(model).__name__}{variant}, {model.count_params() / 1e6:.1f} M parameters{classes}{trained}. "
        + (f"Photos: {sizes}. " if sizes else "")
        + "MambaOut: [Yu and Wang, CVPR 2025](https://arxiv.org/abs/2405.07992)."
    )


def _code(language, code, repository, package, function):
    return f"```{language}\n{code.format(repository=repository, package=package, function=function)}\n```"


def _classes(model):
    names = settings_of(model, InferenceSettings).class_names
    if not names:
        return []
    more = f", and {len(names) - CLASSES_SHOWN} more" if len(names) > CLASSES_SHOWN else ""
    return ["## Classes", f"{', '.join(names[:CLASSES_SHOWN])}{more}."]


def _numbers(metrics: Mapping[str, Any] | None, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yields the metrics of an evaluation by name, those of boxes and masks with a prefix; tables are left out."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise ValueError(f"`metrics` must be a dict, as an evaluation returns it, got {metrics!r:.80}.")
    for name, value in (metrics or {}).items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}_")
        elif is_number(value) and name not in COUNTS:
            yield f"{prefix}{name}", value
