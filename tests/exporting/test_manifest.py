"""A manifest says what the files beside it are, and notices when they are not."""

import json

import pytest

from keras_mambaout.exporting.manifest import NAME, read_manifest, write_manifest

pytestmark = pytest.mark.no_backend


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"weights" * 100)
    (tmp_path / "model.bin").write_bytes(b"\x00\x01")
    write_manifest(tmp_path, {"task": "classification", "inference_settings": {"class_names": ["déjà", "b"]}})
    return tmp_path


def test_is_read_as_it_was_written(folder):
    manifest = read_manifest(folder)
    assert manifest["inference_settings"] == {"class_names": ["déjà", "b"]}
    assert {name: file["bytes"] for name, file in manifest["files"].items()} == {"model.bin": 2, "model/weights": 700}


@pytest.mark.parametrize("part", ["task", "inference_settings", "files"])
def test_an_edited_manifest_is_noticed(folder, part):
    manifest = json.loads((folder / NAME).read_text())
    manifest[part] = {"task": "detection"}.get(part, {})
    (folder / NAME).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="was changed after the export"):
        read_manifest(folder)


def test_a_manifest_that_is_only_laid_out_anew_is_read(folder):
    manifest = read_manifest(folder)
    (folder / NAME).write_text(json.dumps(json.loads((folder / NAME).read_text()), sort_keys=True))
    assert read_manifest(folder) == manifest


def test_files_that_are_truncated_changed_or_missing_are_noticed(folder):
    weights = folder / "model" / "weights"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="has 699 bytes, it was exported with 700: copy it again"):
        read_manifest(folder)
    weights.write_bytes(b"x" * 700)
    with pytest.raises(ValueError, match="is not the file that was exported"):
        read_manifest(folder)
    weights.unlink()
    with pytest.raises(ValueError, match="is missing, which belongs to the exported model"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "\x00", "nothing"])
def test_what_is_no_manifest_is_one_sentence(folder, text):
    (folder / NAME).write_text(text)
    with pytest.raises(ValueError, match="is not a manifest of an exported model, or it is damaged"):
        read_manifest(folder)
    (folder / NAME).unlink()
    with pytest.raises(ValueError, match=r"There is no manifest\.json"):
        read_manifest(folder)
