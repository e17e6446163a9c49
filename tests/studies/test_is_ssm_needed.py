"""The study of the state space model: its tasks, networks, tables, and all of it in its quick form."""

import json
import statistics

import keras
import networks
import numpy as np
import pytest
import report
import runs
import study
import tasks
from paths import ROOT

FOLDER = ROOT / "studies" / "is_ssm_needed"
STORED = FOLDER / "results"


# === Tasks ===


@pytest.mark.no_backend
def test_painted_rows_follow_their_rule():
    images, labels, distances = tasks.painted_rows(6, 5, 32, 12, np.random.default_rng(0))
    assert images.shape == (6, 5, 32, 5) and images.dtype == np.float32
    for image, painted, away in zip(images, labels, distances, strict=True):
        for row in range(5):
            assert image[row, 0, 4] == 1  # a cue
            for column in range(32):
                cue = max(place for place in range(column + 1) if image[row, place, 4] == 1)
                assert painted[row, column] == np.flatnonzero(image[row, cue, :4])
                assert away[row, column] == column - cue
    assert distances.max() == 11  # the longest run
    assert np.bincount(labels.ravel()).min() > 0.15 * labels.size


@pytest.mark.no_backend
def test_painted_rows_know_nothing_of_far_cues_but_their_colour():
    """Colours are drawn by chance: who does not see the cue is right in one of four cases."""
    images, labels, distances = tasks.painted_rows(50, 16, 32, 32, np.random.default_rng(1))
    own_colour = images[..., :4].argmax(-1)
    assert (own_colour == labels)[distances == 0].all()
    assert (own_colour == labels)[distances > 0].mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.no_backend
def test_moved_images_are_crops_of_the_padded_ones():
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    moved = tasks.moved(images, np.random.default_rng(1), mirror=False)
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    for image, result in zip(padded, moved, strict=True):
        assert any(np.array_equal(image[y : y + 8, x : x + 8], result) for y in range(7) for x in range(7))


@pytest.mark.no_backend
def test_digits_and_photos():
    for read, channels, count, test_count in ((tasks.digits, 1, 4000, 1000), (tasks.photos, 3, 1000, 200)):
        try:
            images, labels, test_images, test_labels = read()
        except tasks.Missing as reason:
            pytest.skip(str(reason))
        assert images.shape == (count, 32, 32, channels) and test_images.shape == (test_count, 32, 32, channels)
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert np.bincount(test_labels).tolist() == [test_count // 10] * 10
        assert images.min() == 0 and images.max() == 1


# === Networks ===


@pytest.mark.first_on("torch")
@pytest.mark.parametrize("part", ["classification", "distance", "causal"])
def test_networks_of_a_part_have_equal_parameters(part):
    settings = study.PARTS[part]
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in settings["options"].items()}
    counts = {
        mixer: networks.used_parameters(
            networks.create(settings["shape"], mixer, 0, input_shape=(32, 32, 3), classes=10, **options)
        )
        for mixer in settings["mixers"]
    }
    reference = counts[networks.REFERENCE]
    assert len(counts) >= 4 and all(abs(count / reference - 1) < 0.02 for count in counts.values()), counts


def plain(mixer):
    """Two blocks with large weights, so that what a pixel sees changes its answer beyond rounding."""
    options = {"input_shape": (8, 32, 5), "classes": 4, "blocks": 2, "dim": 8, "patch": 1, "pooled": False}
    model = networks.create("plain", mixer, 0, **options)
    for weight in model.weights:
        if len(weight.shape) > 1 and weight.path.rpartition("/")[2] != "A_log":
            weight.assign(20 * keras.ops.convert_to_tensor(weight))
    return model


def outputs(model, image):
    return keras.ops.convert_to_numpy(model(image))[0]


def test_taps_that_do_not_count_change_nothing():
    model = plain("causal conv 7")
    assert model.count_params() - networks.used_parameters(model) == 2 * 8 * 24
    image = np.random.default_rng(0).random((1, 8, 32, 5), "float32")
    convolution = model.get_layer("block_0").conv
    kernel, before = keras.ops.convert_to_numpy(convolution.kernel), outputs(model, image)
    for tap, counts in ((25, False), (24, True)):
        changed = kernel.copy()
        changed.reshape(49, 8)[tap] += 1
        convolution.kernel.assign(changed)
        assert (np.abs(before - outputs(model, image)).max() > 1e-3) == counts


@pytest.mark.parametrize(
    "mixer, first, last, is_causal",
    [
        ("conv 7", 10, 22, False),
        ("causal conv 7", 16, 22, True),
        ("SSM", 0, 31, False),
        ("SSM, 1 direction", 16, 31, True),
        ("identity", 16, 16, True),
    ],
)
def test_how_far_pixels_are_seen(mixer, first, last, is_causal):
    """Which columns of its own row, the first and the last, see that a pixel changes, and whether rows above do."""
    model = plain(mixer)
    image = np.random.default_rng(0).random((1, 8, 32, 5)).astype("float32")
    changed = image.copy()
    changed[0, 4, 16] += 5
    sees = (outputs(model, changed) != outputs(model, image)).any(-1)
    columns = np.flatnonzero(sees[4])
    assert (columns.min(), columns.max()) == (first, last)
    assert sees[:4].any() != is_causal


# === All of it ===


@pytest.mark.first_on("torch")
def test_quick_form(tmp_path, monkeypatch, capsys):
    arguments = ["--quick", "--workers", "1", "--seeds", "2", "--output", str(tmp_path)]
    study.main(arguments)
    path = tmp_path / "results.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    parts = {record["run"]["part"] for record in records}
    assert {"distance", "cost"} <= parts
    for part, missing in (("classification", "photos"), ("causal", "photos")):
        assert part in parts or f"{missing} skipped: " in capsys.readouterr().out
    assert {name for name in parts if (tmp_path / f"{name}.png").stat().st_size > 10_000} == parts

    text = (tmp_path / "tables.md").read_text()
    line = next(line for line in text.partition("## distance")[2].splitlines() if line.startswith("| identity"))
    of_identity = [
        record["result"]
        for record in records
        if record["run"]["part"] == "distance" and record["run"]["mixer"] == "identity"
    ]
    at_three = [100 * result["by_distance"][3] for result in of_identity]
    assert len(at_three) == 2 and f"{of_identity[0]['parameters']:,}" in line
    assert f" {statistics.mean(at_three):.0f} ± {statistics.stdev(at_three):.0f} " in line
    cost = next(record["result"] for record in records if record["run"]["part"] == "cost")
    assert cost["backend"] == "torch"
    assert all(f"{at['forward_ms']:.3g} / {at['step_ms']:.3g} / " in text for at in cost["by_side"])

    def again(run):
        raise AssertionError(f"{run} was done already")

    monkeypatch.setattr(study, "results_of", again)
    path.write_text(path.read_text() + '{"run": {"part": "dist')  # as an interrupted study leaves it
    study.main(arguments)
    monkeypatch.setitem(study.QUICK["distance"], "steps", 3)
    with pytest.raises(SystemExit, match="other settings: choose another --output"):
        study.main([*arguments, "--part", "distance"])


@pytest.mark.first_on("torch")
def test_a_run_is_a_function_of_its_settings():
    (run,) = [run for run in study.plan("distance", quick=True, seeds=1) if run["mixer"] == "conv + SSM"]
    first, second = (runs.train(run) for _ in range(2))
    assert first["loss"] == second["loss"] and first["by_distance"] == second["by_distance"]


@pytest.mark.no_backend
def test_missing_data_is_skipped_with_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tasks, "DATA", tmp_path)
    tasks.photos.cache_clear()
    left = study.without_missing_data(
        [run for run in study.plan("causal", quick=True, seeds=1) if run["task"] == "photos"]
    )
    assert left == [] and "photos skipped: No photos in" in capsys.readouterr().out


@pytest.mark.no_backend
def test_tables_of_the_page_are_those_of_the_stored_results():
    page = (FOLDER / "README.md").read_text()
    records = report.read(STORED / "results.jsonl")
    assert set(report.tables(records)) == {"classification", "distance", "causal", "cost", "macs"}
    assert report.with_tables(page, records) == page, f"run: python {FOLDER / 'report.py'} {STORED} README.md"
    for part in study.PARTS:
        stored = [record["run"] for record in records if record["run"]["part"] == part]
        planned = study.plan(part, seeds=1)
        assert all(study.settings(run) == study.settings(planned[0]) for run in stored), part
        measured = [tuple(run.get(name) for name in ("task", "backend", "mixer")) for run in stored]
        at_least = 1
        assert all(
            measured.count(tuple(run.get(name) for name in ("task", "backend", "mixer"))) >= at_least for run in planned
        ), part
