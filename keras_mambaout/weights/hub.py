"""Published weights from the Hugging Face hub, through its library and its cache."""

import hashlib
import os
import re

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from keras_mambaout.weights.pretrained import PublishedWeights

FILE_NAME = "model.safetensors"


class DownloadError(OSError):
    """Published weights are neither in the cache nor could they be downloaded whole."""


def download(published: PublishedWeights, revision: str | None = None) -> str:
    """Returns the path of a published file in the hub's cache, downloaded if it is not there.

    `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` work as everywhere
    with the hub. A cached file is used without any request. A downloaded one is compared with the
    SHA-256 that the hub has on record, and deleted if it differs.

    Args:
        published: A `PublishedWeights`.
        revision: Branch, tag or commit of the repository; default its main branch.

    Raises:
        DownloadError: If there is no network, no such file, or the file arrived damaged.
    """
    cached = huggingface_hub.try_to_load_from_cache(published.hub_id, FILE_NAME, revision=revision)
    if isinstance(cached, str):
        return cached
    try:
        url = huggingface_hub.hf_hub_url(published.hub_id, FILE_NAME, revision=revision)
        record = None if constants.is_offline_mode() else huggingface_hub.get_hf_file_metadata(url)
        path = huggingface_hub.hf_hub_download(published.hub_id, FILE_NAME, revision=revision)
    except Exception as error:
        raise DownloadError(_failure(published, error)) from error
    _check_sha256(path, record.etag, published)
    return path


def _failure(published, error):
    if constants.is_offline_mode():
        reason = "HF_HUB_OFFLINE is set"
    elif isinstance(error, HfHubHTTPError):
        reason = f"the hub refused it: {_first_line(error)}"
    else:
        reason = f"{type(error).__name__}: {_first_line(error)}"
    return (
        f"Could not download {published.hub_id}/{FILE_NAME} from {constants.ENDPOINT} ({reason}), and it is not in "
        f"the cache {constants.HF_HUB_CACHE}. Without network, copy the file from a machine that has it and pass "
        f"its path: weights='/path/to/{FILE_NAME}'."
    )


def _first_line(error):
    return next(iter(str(error).strip().splitlines()), "no more is known")


def _check_sha256(path, etag, published):
    """Compares the file with the hub's record; large files have their SHA-256 as etag."""
    if not etag or not re.fullmatch("[0-9a-f]{64}", etag):
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == etag:
        return
    for copy in {path, os.path.realpath(path)}:  # the cache's link and what it points to
        os.remove(copy)
    raise DownloadError(
        f"{published.hub_id}/{FILE_NAME} arrived damaged and was deleted: its SHA-256 is {digest}, the hub's record "
        f"is {etag}. Try again."
    )
