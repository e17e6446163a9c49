"""Uploading a model to the Hugging Face hub."""

import logging
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import huggingface_hub
import keras
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants

from keras_mambaout.share.folder import CARD_FILE, MODEL_FILES, save_for_hub
from keras_mambaout.weights.hub import HubRepository, reason

logger = logging.getLogger("keras_mambaout")


class UploadError(OSError):
    """A model could not be uploaded to the hub."""


def push_to_hub(
    model: keras.Model,
    repository: str,
    *,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload a model with keras_mambaout",
    license: str = "apache-2.0",
    dataset: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    overwrite_card: bool = False,
) -> str:
    """Uploads a model to the Hugging Face hub, in one commit.

    What is uploaded, `save_for_hub` writes: look at its folder first. A classifier loads in timm too. A repository
    that exists gets one more commit: it replaces the model, and leaves other files and, without `overwrite_card`, the
    model card as they are; what was there stays in the repository's history.

    `HF_ENDPOINT`, `HF_TOKEN` and `hf auth login` work as everywhere with the hub.

    Args:
        model: A model of this package.
        repository: `"user/repo"`; made if it does not exist.
        token: A token of the hub that may write; default that of `HF_TOKEN` or `hf auth login`.
        private: Whether a new repository is private; default as your account or organisation has it.
        revision: Branch to commit to, made from the main branch if it does not exist; default the main branch.
        commit_message: First line of the commit.
        license, dataset, metrics: As for `save_for_hub`.
        overwrite_card: Whether a `README.md` that is there is replaced by a new model card.

    Returns:
        The URL of the repository.

    Raises:
        ValueError: If an argument is not among those listed above.
        UploadError: If you are not logged in or may not write there, a repository that should be private is public,
            or the hub cannot be reached.

    Example:
    ```python
    model.inference_settings = ClassificationSettings(class_names=data.class_names, image_size=224)
    keras_mambaout.push_to_hub(model, "me/flowers", private=True)
    same = keras_mambaout.load_model("hf://me/flowers")
    ```
    """
    target = HubRepository(repository, revision)
    if not isinstance(commit_message, str) or not commit_message.strip():
        raise ValueError(f"`commit_message` must say what the commit does, got {commit_message!r}.")
    if constants.is_offline_mode():
        raise UploadError(f"Could not push to {target}: HF_HUB_OFFLINE is set.")
    if not (token or huggingface_hub.get_token()):
        raise UploadError(f"Could not push to {target}: set HF_TOKEN, run `hf auth login`, or pass `token`.")
    with tempfile.TemporaryDirectory() as folder:
        save_for_hub(model, folder, str(target), license=license, dataset=dataset, metrics=metrics)
        try:
            return _upload(HfApi(token=token), folder, target, private, commit_message, overwrite_card)
        except UploadError:
            raise
        except Exception as error:  # of the hub, of its library, of the connection
            text = f"Could not push to {target} on {constants.ENDPOINT}: {reason(error, target, token)}."
            raise UploadError(text) from error


def _upload(api, folder, target, private, commit_message, overwrite_card):
    api.create_repo(target.id, private=private, exist_ok=True)
    if private and not api.model_info(target.id).private:
        raise UploadError(
            f"{target.id} exists and is public: make it private on its page first, or leave out `private`."
        )
    if target.revision is not None:
        api.create_branch(target.id, branch=target.revision, exist_ok=True)
    there = {file.rfilename for file in api.model_info(target.id, revision=target.revision).siblings}

    names = set(os.listdir(folder))
    if CARD_FILE in there and not overwrite_card:
        logger.warning("The model card of %s stays as it is; `overwrite_card=True` writes a new one.", target)
        names.remove(CARD_FILE)
    old = there.intersection(MODEL_FILES) - names  # of a model of the other format, which would be loaded instead
    additions = [CommitOperationAdd(name, os.path.join(folder, name)) for name in sorted(names)]
    deletions = [CommitOperationDelete(name) for name in sorted(old)]
    api.create_commit(target.id, [*additions, *deletions], commit_message=commit_message, revision=target.revision)
    return f"{constants.ENDPOINT}/{target.id}" + (f"/tree/{target.revision}" if target.revision else "")
