"""Batches of few sizes: the buckets, which images are together, and that padding is all that differs."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from keras_mambaout.data.resizing import resize_image
from keras_mambaout.detection import CocoDataset
from keras_mambaout.detection.buckets import choose_buckets
from keras_mambaout.detection.recipe import MULTI_SCALE
from keras_mambaout.detection.resizing import ResizeRule, shrink_into
from keras_mambaout.preprocessing.fitting import PADDING_COLOR

pytestmark = pytest.mark.no_backend

# heights and widths: of 4:3, 3:2, wider, square, and upright
SIZES = [(48, 64), (45, 60), (40, 60), (44, 66), (30, 90), (50, 50), (64, 48), (60, 45), (60, 40), (66, 44), (90, 30)]
COUNT, BATCH = 27, 4
EDGES = {"shortest_edge": 48, "longest_edge": 80, "pad_to_multiple": 8}
SCALES = (24, 32, 40, 48)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The arguments of `CocoDataset.from_json` for images whose red is their id times 9."""
    folder = tmp_path_factory.mktemp("sizes")
    images, annotations = [], []
    for number in range(COUNT):
        height, width = SIZES[number % len(SIZES)]
        pixels = np.full((height, width, 3), (9 * number, 40, 200), "uint8")
        pixels[: height // 2, : width // 2, 1] = 120  # tells whether it is mirrored
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [2, 3, 10, 12 + number % 9]})
    path = folder / "labels.json"
    categories = [{"id": 1, "name": "one"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path, folder


@pytest.fixture
def dataset(files):
    return CocoDataset.from_json(*files)


def read(dataset, **options):
    """Returns `(images, sizes, labels)` of the batches."""
    options = {**EDGES, "training": True, "seed": 1, "sizes": True, **options}
    batches = dataset.batches(BATCH, **options).as_numpy_iterator()
    return [(inputs["images"], inputs["sizes"], labels) for inputs, labels in batches]


def ids(batches):
    return [np.round(images[:, 0, 0, 0] / 9).astype(int).tolist() for images, *_ in batches]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def test_the_papers_buckets():
    wide = [(800, 1088), (800, 1216), (800, 1344)]
    assert ResizeRule(shortest_edge=800).buckets == (*wide, *(size[::-1] for size in wide))
    wide = [(640, 864), (768, 1024), (800, 1344)]
    assert ResizeRule(shortest_edge=MULTI_SCALE).buckets == (*wide, *(size[::-1] for size in wide))
    assert ResizeRule(image_size=(60, 80)).buckets == ((60, 80),)


@pytest.mark.parametrize("edges", [(800,), MULTI_SCALE, (20,), (24, 64), (100,)])
@pytest.mark.parametrize(("longest_edge", "multiple"), [(1333, 32), (800, 1), (2000, 64)])
def test_buckets_are_few_and_hold_every_image(edges, longest_edge, multiple):
    buckets = choose_buckets(edges, longest_edge, multiple)
    wide, high = buckets[: len(buckets) // 2], buckets[len(buckets) // 2 :]
    assert len(wide) <= 3 and high == tuple(size[::-1] for size in wide)
    assert all(side % multiple == 0 for size in buckets for side in size)
    assert all(height <= width for height, width in wide)
    for one, next_one in itertools.pairwise(wide):
        assert one[0] <= next_one[0] and one[1] <= next_one[1], "a batch of several has the largest"
    rule = ResizeRule(shortest_edge=edges, longest_edge=longest_edge, pad_to_multiple=multiple)
    random = np.random.default_rng(0)
    for height, width in [(1, 5000), (5000, 1), (7, 7), *random.integers(1, 3000, (300, 2)).tolist()]:
        for edge in edges:
            size = rule.resized(height, width, edge)
            held = [bucket for bucket in buckets if bucket[0] >= size[0] and bucket[1] >= size[1]]
            found = buckets[rule.bucket(size)]
            assert found in held and np.prod(found) == min(map(np.prod, held))
            assert (found in wide) if size[0] <= size[1] else (found in high)
            assert shrink_into(size, found) == size


def test_an_image_in_the_bucket_of_another_one():
    assert shrink_into((1067, 800), (800, 1088)) == (800, 600)


@pytest.mark.parametrize("multi_scale", [None, SCALES])
def test_an_epoch_of_training(dataset, multi_scale):
    rule = ResizeRule(**{**EDGES, "shortest_edge": multi_scale or EDGES["shortest_edge"]})
    stream, steps, seen = read(dataset, multi_scale=multi_scale, epochs=(0, 3)), COUNT // BATCH, []
    assert len(stream) == 3 * steps == 3 * dataset.steps_per_epoch(BATCH)
    for start in range(0, len(stream), steps):
        batches = stream[start : start + steps]
        for images, sizes, _ in batches:
            assert images.shape[1:3] in rule.buckets
            assert all(rule.buckets[rule.bucket(tuple(size))] == images.shape[1:3] for size in sizes.tolist())
            assert len({bool(height > width) for height, width in sizes}) == 1, "one orientation"
        seen.append(flat(ids(batches)))
        again = steps * BATCH - len(set(seen[-1]))
        assert again <= (BATCH - 1) * len(rule.buckets), "an image comes twice only where a bucket has too few"
    assert len(set(map(str, seen))) == 3, "each epoch is shuffled anew"
    rest = read(dataset, multi_scale=multi_scale, epochs=(1, 3), first_step=2)
    for one, other in zip(rest, stream[steps + 2 :], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[2]["boxes"], other[2]["boxes"])


def test_images_are_resized_as_ever_and_padding_is_all_that_differs(dataset):
    rule, batches = ResizeRule(**EDGES), read(dataset, flip=0)
    for (images, sizes, labels), numbers in zip(batches, ids(batches), strict=True):
        for image, (height, width), boxes, number in zip(images, sizes, labels["boxes"], numbers, strict=True):
            original, objects = dataset.load(number)
            assert (height, width) == rule.resized(*original.shape[:2])
            np.testing.assert_array_equal(image[:height, :width], resize_image(original, (height, width)))
            scale = np.divide((width, height) * 2, original.shape[1::-1] * 2)
            np.testing.assert_allclose(boxes[:1], objects["boxes"] * scale, rtol=1e-6)
            for padding in (image[height:], image[:, width:]):
                np.testing.assert_array_equal(padding, np.broadcast_to(np.float32(PADDING_COLOR), padding.shape))


@pytest.mark.parametrize("multi_scale", [None, SCALES])
def test_shards_have_one_size_and_make_one_batch(dataset, multi_scale):
    options = {"multi_scale": multi_scale, "epochs": (0, 2)}
    whole = read(dataset, **options)
    parts = [read(dataset, shard=(index, 2), **options) for index in range(2)]
    for number, (images, sizes, _) in enumerate(whole):
        for index, part in enumerate(parts):
            np.testing.assert_array_equal(part[number][0], images[index::2])
            np.testing.assert_array_equal(part[number][1], sizes[index::2])


def test_the_short_sides_of_several_scales(dataset):
    drawn = [[], []]
    for images, sizes, _ in read(dataset, multi_scale=SCALES, epochs=(0, 4), longest_edge=400):
        for image, size in zip(images, sizes.tolist(), strict=True):
            number = round(float(image[0, 0, 0]) / 9)
            height, width = dataset.image_size(number)
            edge = min(size)
            assert edge in SCALES and size == list(
                ResizeRule(shortest_edge=edge, longest_edge=400).resized(height, width)
            )
            drawn[number % 2].append(edge)
    assert set(drawn[0]) == set(drawn[1]) == set(SCALES)


def test_a_batch_keeps_its_size_where_an_image_is_unreadable(files, tmp_path):
    labels, folder = files
    for path in folder.glob("*.png"):
        (tmp_path / path.name).write_bytes(
            path.read_bytes()[:60] if path.stem in ("0", "5", "10") else path.read_bytes()
        )
    sound, damaged = CocoDataset.from_json(labels, folder), CocoDataset.from_json(labels, tmp_path)
    for one, other in zip(read(sound, epochs=(0, 2)), read(damaged, epochs=(0, 2)), strict=True):
        assert one[0].shape == other[0].shape
        assert (other[1] <= other[0].shape[1:3]).all() and (other[1] > 0).all()
    assert len(damaged.unreadable) == 3


def test_without_training(dataset):
    batches = read(dataset, training=False, flip=None, masks=False)
    assert sorted(flat(ids(batches))) == list(range(COUNT))
    assert flat(ids(batches)) == flat(labels["image_id"].tolist() for *_, labels in batches)
    shapes = [images.shape for images, *_ in batches]
    assert len({shape[1:3] for shape in shapes}) <= 6
    areas = {
        wide: [shape[1] * shape[2] for shape in shapes if (shape[1] <= shape[2]) == wide] for wide in (True, False)
    }
    assert all(part == sorted(part) for part in areas.values()), "from small to large"
    assert sum(shape[0] < BATCH for shape in shapes) == 2, "the last wide and the last high ones"
    in_order = next(dataset.batches(COUNT, image_size=32).as_numpy_iterator())[1]["image_id"]
    assert in_order.tolist() == list(range(COUNT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi_scale": SCALES, "training": False}, "`multi_scale` comes in the place of `shortest_edge` in training"),
        ({"multi_scale": SCALES, "shortest_edge": None, "image_size": 64}, "`multi_scale` comes in the place"),
        ({"multi_scale": ()}, r"`multi_scale` must be a tuple of short sides in pixels, from 1 to .* got \(\)"),
        ({"multi_scale": 48}, "`multi_scale` must be a tuple"),
        ({"multi_scale": (48, 90)}, r"from 1 to `longest_edge` \(80\), got \(48, 90\)"),
        ({"multi_scale": (48, 50.0)}, "`multi_scale` must be a tuple"),
    ],
)
def test_wrong_scales(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        read(dataset, **options)
