"""What a model carries along for inference: kept by its file, used where nothing else is said."""

import dataclasses

import keras
import numpy as np
import pytest
import small_segmenter

import keras_mambaout
from keras_mambaout.classification import ClassificationSettings, classify, evaluate_classifier
from keras_mambaout.detection import DetectionSettings, detect, mask_rcnn
from keras_mambaout.segmentation import SegmentationSettings, segment

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
PALETTE = ((0, 0, 255), (9, 9, 9))
SETTINGS = {
    "classifier": ClassificationSettings(class_names=["cat", "dog"], image_size=48, crop_pct=0.9, crop_mode="squash"),
    "mask_rcnn": DetectionSettings(class_names=["cat", "dog"], shortest_edge=64, longest_edge=96),
    "upernet": SegmentationSettings(
        class_names=["sky", "sea"], crop_size=32, stride=16, shortest_edge=40, longest_edge=50, palette=PALETTE
    ),
}


def create(kind):
    if kind == "classifier":
        return keras_mambaout.create_model("mambaout_test", weights=None, classes=2)
    if kind == "mask_rcnn":
        return mask_rcnn("mambaout_test", 2, weights=None, channels=8, proposals=10, max_detections=5)
    return small_segmenter.create(num_classes=2)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_file_keeps_them(kind, tmp_path):
    model = create(kind)
    assert model.inference_settings == type(SETTINGS[kind])()
    model.inference_settings = SETTINGS[kind]
    model.save(tmp_path / "model.keras")
    assert keras_mambaout.load_model(tmp_path / "model.keras").inference_settings == SETTINGS[kind]
    assert type(model).from_config(model.get_config()).inference_settings == SETTINGS[kind]


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("library", ["keras_hub", "keras_cv"])
def test_detectors_of_other_libraries_keep_them(library, tmp_path):
    module = pytest.importorskip(f"keras_mambaout.integrations.{library}")
    settings = DetectionSettings(class_names=["cat", "dog"], image_size=(64, 96))
    makers = [module.retinanet, *([module.yolov8_detector] if library == "keras_cv" else [])]
    for make in makers:
        detector = make("mambaout_test", 2, weights=None)
        detector.inference_settings = settings
        detector.save(tmp_path / "detector.keras")
        assert keras_mambaout.load_model(tmp_path / "detector.keras").inference_settings == settings


class Seen:
    """Answers as a model of the task would, and keeps the shapes it was given."""

    bounding_box_format = "xyxy"

    def __init__(self, settings, answer):
        self.inference_settings, self.answer, self.shapes = settings, answer, []

    def predict_on_batch(self, images):
        self.shapes.append(images.shape)
        return self.answer(images)


def probabilities(images):
    return np.array([[0.25, 0.75]] * len(images), "float32")


def one_box(images):
    rows = (len(images), 1)
    boxes = np.array([[[8, 4, 32, 24]]] * len(images), "float32")
    return {"boxes": boxes, "confidence": np.ones(rows, "float32"), "classes": np.ones(rows, "float32")}


def no_logits(images):
    return np.zeros((*images.shape[:3], 2), "float32")


@pytest.mark.no_backend
def test_classify_uses_them():
    model = Seen(SETTINGS["classifier"], probabilities)
    for options, size in (({}, 48), ({"image_size": 64}, 64)):
        (found,) = classify(model, [PHOTO], **options)
        assert model.shapes[-1] == (1, size, size, 3) and found["names"] == ["dog", "cat"]
    assert classify(model, [PHOTO], class_names=["a", "b"])[0]["names"] == ["b", "a"]
    unknown = Seen(None, probabilities)
    assert "names" not in classify(unknown, [PHOTO])[0] and unknown.shapes == [(1, 224, 224, 3)]


@pytest.mark.no_backend
def test_evaluation_looks_as_inference_does(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        keras.utils.save_img(tmp_path / name / "0.png", PHOTO)
    data = keras_mambaout.classification.ClassificationDataset.from_folder(tmp_path)
    model = Seen(SETTINGS["classifier"], probabilities)
    assert evaluate_classifier(model, data, batch_size=2)["top1"] == 0.5 and model.shapes == [(2, 48, 48, 3)]


@pytest.mark.no_backend
def test_detect_uses_them():
    """Wide photos and high ones are different batches, padded to multiples of 32; boxes are in pixels of each."""
    model = Seen(SETTINGS["mask_rcnn"], one_box)
    tall = PHOTO.transpose(1, 0, 2)
    first, second = detect(model, [PHOTO, tall])  # 64 x 96 and 96 x 64
    assert model.shapes == [(1, 64, 96, 3), (1, 96, 64, 3)] and first["names"] == ["dog"]
    np.testing.assert_allclose(first["boxes"], [[5, 2.5, 20, 15]])
    np.testing.assert_allclose(second["boxes"], [[5, 2.5, 20, 15]])
    detect(model, [PHOTO], image_size=(32, 48))
    detect(model, [PHOTO], shortest_edge=32)
    assert model.shapes[2:] == [(1, 32, 48, 3), (1, 32, 64, 3)]
    unknown = Seen(None, one_box)
    assert "names" not in detect(unknown, [PHOTO])[0] and unknown.shapes == [(1, 640, 640, 3)]


@pytest.mark.no_backend
def test_segment_uses_them():
    model = Seen(SETTINGS["upernet"], no_logits)
    segment(model, [PHOTO])  # 33 x 50, in windows of 32 every 16 pixels
    assert model.shapes == [(1, 32, 32, 3)] * 6
    model.shapes.clear()
    segment(model, [PHOTO], crop_size="photo")
    segment(model, [PHOTO], crop_size=48, shortest_edge=48)
    assert model.shapes[:2] == [(1, 33, 50, 3), (1, 48, 48, 3)]
    unknown = Seen(None, no_logits)
    segment(unknown, [PHOTO])
    assert unknown.shapes[0] == (1, 512, 512, 3)


@pytest.mark.no_backend
def test_what_is_given_comes_first():
    known = SETTINGS["classifier"]
    assert known.options() == {"image_size": 48, "crop_pct": 0.9, "crop_mode": "squash"}
    assert known.options(64)["crop_pct"] == 1.0  # 0.9 is known for 48 pixels
    assert known.options(48, crop_mode="center") == {"image_size": 48, "crop_pct": 0.9, "crop_mode": "center"}
    known = SETTINGS["mask_rcnn"]
    assert known.options() == {"image_size": None, "shortest_edge": 64, "longest_edge": 96}
    assert known.options(image_size=32)["shortest_edge"] is None
    assert known.options(shortest_edge=32)["longest_edge"] == 1333
    known = SETTINGS["upernet"]
    assert known.options(stride=8)["stride"] == 8 and known.options(crop_size=64)["stride"] is None
    assert known.options(shortest_edge=20) == {"crop_size": 32, "stride": 16, "shortest_edge": 20, "longest_edge": 80}
    assert SegmentationSettings().options()["longest_edge"] == 2048


@pytest.mark.no_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ClassificationSettings(class_names="cat"), "`class_names` must be one name, a string"),
        (lambda: ClassificationSettings(class_names=["cat", 3]), "`class_names` must be one name"),
        (lambda: ClassificationSettings(image_size=0), "`image_size` must be an integer of 1 or more"),
        (lambda: ClassificationSettings(crop_pct=1.5), "`crop_pct` must be a number above 0 and at most 1"),
        (lambda: ClassificationSettings(crop_mode="border"), "`crop_mode` must be one of"),
        (lambda: DetectionSettings(image_size=64, shortest_edge=64), "Give `image_size`, an integer or"),
        (lambda: DetectionSettings(image_size=(64, 0)), "`image_size` must be an integer of 1 or more"),
        (lambda: DetectionSettings(shortest_edge=64, longest_edge=32), "`longest_edge` must be at least"),
        (lambda: SegmentationSettings(crop_size=32, stride=64), "`stride` must be at most `crop_size`"),
        (lambda: SegmentationSettings(palette=[[0, 0, 256]]), "`palette` must be one RGB colour per class"),
        (lambda: ClassificationSettings.of({"size": 32}, 2), "has class_names, image_size, crop_pct, crop_mode, got"),
        (lambda: ClassificationSettings.of(DetectionSettings(), 2), "must be ClassificationSettings"),
        (lambda: ClassificationSettings.of({"class_names": ["cat"]}, 2), "`class_names` must have 2 entries"),
        (lambda: SegmentationSettings.of({"palette": [[0, 0, 0]]}, 2), "`palette` must have 2 entries"),
    ],
)
def test_errors(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_wrong_setting_changes_nothing():
    model = create("classifier")
    model.inference_settings = {"class_names": ["cat", "dog"]}
    with pytest.raises(ValueError, match="`class_names` must have 2 entries, one per class, got 3"):
        model.inference_settings = dataclasses.replace(model.inference_settings, class_names=["a", "b", "c"])
    assert model.inference_settings == ClassificationSettings(class_names=["cat", "dog"])
