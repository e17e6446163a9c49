"""The manifest beside an exported model: what it takes and gives, how it was proved, and what its files must be."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

NAME = "manifest.json"
CHECKSUM = "checksum"
CHUNK = 2**20  # bytes


def write_manifest(folder: str | os.PathLike, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest of the files in a folder, with their sizes and sums."""
    folder = pathlib.Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    files = {path.relative_to(folder).as_posix(): _described(path) for path in paths}
    manifest = {**manifest, "files": files}
    text = json.dumps({**manifest, CHECKSUM: _checksum(manifest)}, indent=1, ensure_ascii=False)
    (folder / NAME).write_text(text)


def read_manifest(folder: str | os.PathLike) -> dict[str, Any]:
    """Reads the manifest of an exported model and checks it, and the files, against what was written.

    Raises:
        ValueError: If there is no manifest, it or a file is damaged or was changed, or a file is missing.
    """
    path = pathlib.Path(folder) / NAME
    try:
        manifest = json.loads(path.read_text())
        checksum = manifest.pop(CHECKSUM)
    except FileNotFoundError:
        raise ValueError(
            f"There is no {NAME} in {str(folder)!r}, which `keras_mambaout.export` writes beside a model: copy the "
            "whole folder."
        ) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is not a manifest of an exported model, or it is damaged: {error}.") from error
    if checksum != _checksum(manifest):
        raise ValueError(f"{str(path)!r} was changed after the export, so it says nothing of the model: export again.")
    for name, written in manifest["files"].items():
        _check_file(pathlib.Path(folder) / name, written)
    return manifest


def _check_file(path, written):
    if not path.is_file():
        raise ValueError(f"{str(path)!r} is missing, which belongs to the exported model: copy the whole folder.")
    size = path.stat().st_size
    if size != written["bytes"]:
        raise ValueError(f"{str(path)!r} has {size} bytes, it was exported with {written['bytes']}: copy it again.")
    if _described(path) != written:
        raise ValueError(f"{str(path)!r} is not the file that was exported: copy it again, or export anew.")


def _described(path):
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": total.hexdigest()}


def _checksum(manifest):
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
