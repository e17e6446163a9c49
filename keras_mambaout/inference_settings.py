"""What a trained model carries along for inference: the names of its classes, and the sizes of its images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from keras_mambaout.arguments import CROP_MODES, check_choice, check_edges, check_positive_integer, is_number

WHOLE_PHOTO = "photo"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """The base of the settings: what is `None` is unknown.

    `model.inference_settings` of a model of this package has them, a saved model keeps them, and inference, evaluation
    and the command line use them where an argument does not say otherwise. `train` and published weights set them. To
    change them: `model.inference_settings = dataclasses.replace(model.inference_settings, class_names=names)`.

    Args:
        class_names: Name of each class.
    """

    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        names = self.class_names
        if names is None:
            return
        if isinstance(names, str) or not all(isinstance(name, str) and name for name in names) or not len(names):
            raise ValueError(f"`class_names` must be one name, a string that is not empty, per class, got {names!r}.")
        object.__setattr__(self, "class_names", tuple(names))

    @classmethod
    def of(cls, value: Self | Mapping | None, num_classes: int) -> Self:
        """Returns the settings that are meant by settings, their `to_dict`, or `None`, checked for a model.

        Raises:
            ValueError: If they are for another task, or of another number of classes.
        """
        if isinstance(value, Mapping):
            known = [field.name for field in dataclasses.fields(cls)]
            if unknown := sorted(set(value) - set(known)):
                raise ValueError(f"{cls.__name__} has {', '.join(known)}, got {', '.join(unknown)}.")
        settings = cls() if value is None else cls(**value) if isinstance(value, Mapping) else value
        if not isinstance(settings, cls):
            raise ValueError(f"`inference_settings` of this model must be {cls.__name__}(...), got {value!r}.")
        for name in ("class_names", "palette"):
            rows = getattr(settings, name, None)
            if rows is not None and len(rows) != num_classes:
                raise ValueError(f"`{name}` must have {num_classes} entries, one per class, got {len(rows)}.")
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Returns what is known, as JSON has it."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: _as_json(value) for name, value in known.items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationSettings(InferenceSettings):
    """What a classifier was trained for; of what is unknown, `options` has the default.

    Args:
        class_names: Name of each class.
        image_size: Height and width of the images in pixels; by default 224.
        crop_pct: Share of a resized photo that the centre crop keeps, at this size; by default 1.0.
        crop_mode: `"center"` or `"squash"`, as for `resize_and_center_crop`; by default `"center"`.

    Raises:
        ValueError: If a value is not among those listed above.

    Example:
    ```python
    model.inference_settings = ClassificationSettings(class_names=["daisy", "rose"], image_size=128)
    ```
    """

    image_size: int | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size is not None:
            check_positive_integer("image_size", self.image_size)
        check_choice("crop_mode", self.crop_mode, (None, *CROP_MODES))
        if self.crop_pct is not None and not (is_number(self.crop_pct) and 0.0 < self.crop_pct <= 1.0):
            raise ValueError(f"`crop_pct` must be a number above 0 and at most 1, got {self.crop_pct!r}.")

    def options(
        self, image_size: int | None = None, crop_pct: float | None = None, crop_mode: str | None = None
    ) -> dict[str, Any]:
        """Returns how photos are cropped: what is given, else what is known, else the defaults.

        What is known of the crop is for the known size: at another one the whole photo is kept.
        """
        known = crop_pct is None and image_size in (None, self.image_size)
        return {
            "image_size": _first(image_size, self.image_size, 224),
            "crop_pct": _first(crop_pct, self.crop_pct if known else None, 1.0),
            "crop_mode": _first(crop_mode, self.crop_mode, "center"),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionSettings(InferenceSettings):
    """What a detector was trained for; of what is unknown, `options` has the default.

    Args:
        class_names: Name of each class.
        image_size: Images are resized to fit in, an integer or `(H, W)`; by default 640, without `shortest_edge`.
        shortest_edge: Instead of `image_size`, the short side of the images in pixels.
        longest_edge: The most that their long side may be; by default 1333.

    Raises:
        ValueError: If a value is not among those listed above.

    Example:
    ```python
    detector.inference_settings = DetectionSettings(class_names=dataset.class_names, shortest_edge=800)
    ```
    """

    image_size: int | tuple[int, int] | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.image_size, list):
            object.__setattr__(self, "image_size", tuple(self.image_size))
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size,)
        if self.image_size is not None:
            if len(sides) > 2 or self.shortest_edge is not None:
                raise ValueError(
                    "Give `image_size`, an integer or (height, width), or `shortest_edge`, got "
                    f"image_size={self.image_size!r} and shortest_edge={self.shortest_edge!r}."
                )
            for side in sides:
                check_positive_integer("image_size", side)
        if self.shortest_edge is not None:
            check_edges(self.shortest_edge, _first(self.longest_edge, 1333))

    def options(
        self,
        image_size: int | tuple[int, int] | None = None,
        shortest_edge: int | None = None,
        longest_edge: int | None = None,
    ) -> dict[str, Any]:
        """Returns how images are resized, as arguments of `CocoDataset.batches`: what is given, or is known, or 640."""
        if image_size is None and shortest_edge is None:
            image_size, shortest_edge = self.image_size, self.shortest_edge
            longest_edge = _first(longest_edge, self.longest_edge)
            if image_size is None and shortest_edge is None:
                image_size = 640
        return {"image_size": image_size, "shortest_edge": shortest_edge, "longest_edge": _first(longest_edge, 1333)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationSettings(InferenceSettings):
    """What a segmenter was trained for; of what is unknown, `options` has the default.

    Args:
        class_names: Name of each class.
        crop_size: Side of the windows in pixels, or `"photo"` for whole photos; by default 512.
        stride: Distance between windows; by default two thirds of `crop_size`.
        shortest_edge: Short side of the images in pixels; by default 512.
        longest_edge: The most that their long side may be; by default four times `shortest_edge`.
        palette: RGB colour of each class, 0 to 255; by default ADE20K's for its classes, else `distinct_colors`.

    Raises:
        ValueError: If a value is not among those listed above.

    Example:
    ```python
    model.inference_settings = SegmentationSettings(class_names=["sky", "ground"], crop_size=256, shortest_edge=256)
    ```
    """

    crop_size: int | str | None = None
    stride: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    palette: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        options = self.options()
        check_edges(options["shortest_edge"], options["longest_edge"])
        check_windows(options["crop_size"], self.stride)
        if self.palette is not None:
            object.__setattr__(self, "palette", _colors(self.palette))

    def options(
        self,
        crop_size: int | str | None = None,
        stride: int | None = None,
        shortest_edge: int | None = None,
        longest_edge: int | None = None,
    ) -> dict[str, Any]:
        """Returns how photos are looked at, as arguments of `segment`: what is given, or is known, or the defaults.

        A given window or short side comes with the default of its stride or long side.
        """
        if crop_size is None:
            crop_size, stride = self.crop_size, _first(stride, self.stride)
        if shortest_edge is None:
            shortest_edge, longest_edge = self.shortest_edge, _first(longest_edge, self.longest_edge)
        shortest_edge = _first(shortest_edge, 512)
        return {
            "crop_size": _first(crop_size, 512),
            "stride": stride,
            "shortest_edge": shortest_edge,
            "longest_edge": _first(longest_edge, 4 * shortest_edge),
        }


def settings_of(model: Any, cls: type[InferenceSettings]) -> Any:
    """Returns the settings that a model carries; those of a model that carries none are all unknown."""
    settings = getattr(model, "inference_settings", None)
    return settings if isinstance(settings, cls) else cls()


def check_windows(crop_size: Any, stride: Any) -> None:
    """Checks the side of windows and the distance between them."""
    if crop_size == WHOLE_PHOTO:
        return
    check_positive_integer("crop_size", crop_size, f" {WHOLE_PHOTO!r} looks at whole photos.")
    if stride is None:
        return
    check_positive_integer("stride", stride)
    if stride > crop_size:
        raise ValueError(f"`stride` must be at most `crop_size` ({crop_size}), or pixels are left out, got {stride}.")


def _first(*values):
    """Returns the first of the values that is not `None`, if there is one."""
    return next((value for value in values if value is not None), None)


def _as_json(value):
    return [_as_json(part) for part in value] if isinstance(value, tuple) else value


def _colors(palette):
    colors = tuple(tuple(int(part) for part in color) for color in palette)
    if not all(len(color) == 3 and min(color) >= 0 and max(color) < 256 for color in colors):
        raise ValueError("`palette` must be one RGB colour per class, three integers from 0 to 255.")
    return colors
