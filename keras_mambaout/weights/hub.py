"""Files from the Hugging Face hub, through its library and its cache."""

import contextlib
import dataclasses
import hashlib
import os
import re

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from keras_mambaout.files import locked

PREFIX = "hf://"
FILE_NAME = "model.safetensors"


class DownloadError(OSError):
    """A file of the hub is neither in the cache nor could it be downloaded whole."""


@dataclasses.dataclass(frozen=True)
class HubRepository:
    """A repository on the Hugging Face hub.

    Args:
        id: `"user/repo"`.
        revision: Branch, tag or commit; default its main branch.

    Raises:
        ValueError: If that cannot be the name of a repository or revision.
    """

    id: str
    revision: str | None = None

    def __post_init__(self) -> None:
        name, revision = self.id, "main" if self.revision is None else self.revision
        is_name = isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII)
        if not is_name or "--" in name or ".." in name or name.endswith((".git", ".", "-")):
            raise ValueError(
                f"{name!r} is no repository of the hub: give user/repo, of letters, digits, '-', '_' and '.'."
            )
        if not re.fullmatch(r"\w[\w./-]*", revision, re.ASCII) or ".." in revision:
            raise ValueError(f"{revision!r} is no branch, tag or commit of {name}: leave it out for the main branch.")

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"

    @classmethod
    def parse(cls, address: str) -> "HubRepository":
        """Returns what `"hf://user/repo"` or `"hf://user/repo@revision"` names."""
        name, at, revision = address.removeprefix(PREFIX).partition("@")
        return cls(name, revision if at else None)


def download(repository: HubRepository, file_name: str = FILE_NAME, newest: bool = False) -> str:
    """Returns the path of a file in the hub's cache, downloaded if it is not there.

    `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` work as everywhere
    with the hub. A downloaded file is compared with the SHA-256 that the hub has on record, if it has
    one, and deleted if it differs. Of several processes that want a file at once, one downloads it, and the others
    wait until it is checked.

    Args:
        repository: Where the file is.
        file_name: Name of the file.
        newest: Whether the hub is asked if there is a newer file than the cached one, which is used where the hub
            cannot be reached. Otherwise a cached file is used without any request.

    Raises:
        DownloadError: If there is no network, no such file, or the file arrived damaged.
    """
    with _alone(repository, file_name):
        return _download(repository, file_name, newest)


@contextlib.contextmanager
def _alone(repository, file_name):
    """A context in which no other process downloads, checks or deletes this file of the cache; waits for it."""
    folder = os.path.join(constants.HF_HUB_CACHE, ".locks")
    name = "--".join(("keras_mambaout", *repository.id.split("/"), *file_name.split("/")))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a cache that nobody can write to does not change
            os.makedirs(folder, exist_ok=True)
            stack.enter_context(locked(os.path.join(folder, f"{name}.lock")))
        yield


def _download(repository, file_name, newest):
    cached = huggingface_hub.try_to_load_from_cache(repository.id, file_name, revision=repository.revision)
    if isinstance(cached, str) and not newest:
        return cached
    try:
        path = huggingface_hub.hf_hub_download(repository.id, file_name, revision=repository.revision)
        if path == cached:
            return path
        url = huggingface_hub.hf_hub_url(repository.id, file_name, revision=_commit(path))
        record = huggingface_hub.get_hf_file_metadata(url)
    except Exception as error:
        raise DownloadError(_failure(repository, file_name, error)) from error
    _check_sha256(path, record.etag, repository, file_name)
    return path


def find(repository: HubRepository, file_name: str) -> str | None:
    """Returns what `download` returns for the newest file, or `None` if the repository has no such file."""
    try:
        return download(repository, file_name, newest=True)
    except DownloadError as error:
        if isinstance(error.__cause__, LocalEntryNotFoundError):  # the hub could not be asked: as it was last time
            known = huggingface_hub.try_to_load_from_cache(repository.id, file_name, revision=repository.revision)
            if known is huggingface_hub._CACHED_NO_EXIST:
                return None
        elif isinstance(error.__cause__, EntryNotFoundError):
            return None
        raise


def download_beside(path: str, repository: HubRepository, file_name: str = FILE_NAME) -> str:
    """Returns what `download` returns, from the commit that a downloaded file of the repository came from."""
    return download(HubRepository(repository.id, _commit(path)), file_name)


def reason(error: Exception, repository: HubRepository, token: str | None = None) -> str:
    """Returns in one line why the hub did not do what it was asked for, and what helps."""
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, LocalEntryNotFoundError):
        error = error.__cause__ or error  # why the hub could not be asked
    status = _status(error)
    if isinstance(error, GatedRepoError):
        return "it is gated: ask for access on its page, then set HF_TOKEN or run `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no branch, tag or commit {repository.revision!r}"
    if isinstance(error, EntryNotFoundError):
        return "it has no such file"
    if status == 401 and (token or huggingface_hub.get_token()):
        return "your token is not valid: make a new one at huggingface.co/settings/tokens"
    if status == 401 or isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private: set HF_TOKEN or run `hf auth login` to show who you are"
    if status == 403:
        return f"your token does not permit it: make one with access to {repository.id}, for a push with write access"
    if status:
        return f"the hub refused it: {_one_line(error)}"
    return f"{type(error).__name__}: {_one_line(error)}"


def _commit(path):
    """Returns the commit of a file in the cache, whose folder is named after it."""
    return os.path.basename(os.path.dirname(path))


def _failure(repository, file_name, error):
    text = f"Could not download {file_name} of {repository} from {constants.ENDPOINT}: {reason(error, repository)}"
    if _status(error) in range(400, 500):  # the hub has answered
        return f"{text}."
    return (
        f"{text}, and it is not in the cache {constants.HF_HUB_CACHE}. Without network, copy the file from a machine "
        f"that has it and pass its path: weights='/path/to/{FILE_NAME}'."
    )


def _status(error):
    """Returns the HTTP status of the hub's answer, or `None`."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _one_line(error):
    return " ".join(str(error).split())[:300] or "no more is known"


def _check_sha256(path, etag, repository, file_name):
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
        f"{file_name} of {repository} arrived damaged and was deleted: its SHA-256 is {digest}, the hub's record "
        f"is {etag}. Try again."
    )
